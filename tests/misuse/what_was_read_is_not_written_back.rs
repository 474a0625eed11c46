//! A row that was read may be an old one, or of another place.
fn main() {
    let name = sealdav::seal::RowName::read(&[0; 36]).unwrap();
    let stored = sealdav::seal::Stored::read(Vec::new());
    sealdav::store::Batch::new().put(name, stored);
}
