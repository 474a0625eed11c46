//! A key has one owner, who zeroes it.
fn main() {
    let key = sealdav::seal::AccountKey::generate(&mut sealdav::ambient::OsRandom);
    let _copy = key.clone();
}
