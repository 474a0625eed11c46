//! Only `expose` gives a secret away, and that stands out.
fn main() {
    println!("{}", sealdav::ids::Secret::new("secret".to_owned()));
}
