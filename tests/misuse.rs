//! P2: what would be a leak does not compile. Each file of `tests/misuse` is a program that misuses
//! the types, with the compiler's refusal beside it; `TRYBUILD=overwrite cargo test --test misuse`
//! writes the refusals anew, to be read before they are believed.

// The dependencies are built for it once more, which takes some minutes in a fresh clone.
#[test]
fn p2_misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
