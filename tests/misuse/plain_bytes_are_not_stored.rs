//! The store takes what was sealed, and nothing else.
fn main() {
    let name = sealdav::seal::RowName::read(&[0; 36]).unwrap();
    sealdav::store::Batch::new().put(name, b"SUMMARY:in the clear".to_vec());
}
