//! Seeded randomness is for the crate's own tests.
fn main() {
    let clock = Box::new(|| sealdav::ambient::UnixMillis(0));
    let _ambient = sealdav::ambient::Ambient::given(clock, Box::new(sealdav::ambient::OsRandom));
}
