//! What cannot be printed cannot reach a log.
fn main() {
    let key = sealdav::seal::AccountKey::generate(&mut sealdav::ambient::OsRandom);
    println!("{key:?}");
}
