//! Nobody can claim that bytes are sealed.
fn main() {
    let _sealed = sealdav::seal::Sealed(b"SUMMARY:in the clear".to_vec());
}
