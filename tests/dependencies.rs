//! The policy for dependencies (PROMISES P20): every crate that is built into the program, or
//! into its tests, comes from one registry, as Cargo.lock has it, or is the changed copy of sled that
//! is in the tree, under a licence that is allowed.
//! Known advisories are not looked up here, since the database would have to be fetched.

use std::process::Command;

/// Licences that go with Apache-2.0, of which one suffices for each crate.
const ALLOWED: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
    "BSL-1.0",
    "0BSD",
    "Apache-2.0 WITH LLVM-exception",
];
/// Whether a licence expression (SPDX) can be met by allowed licences.
fn is_allowed(expression: &str) -> bool {
    // Parts without brackets are enough for what is there; others must be looked at by hand.
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let both = expression.contains('(') && plain.contains(" AND ");
    let meets = |licence: &str| ALLOWED.contains(&licence.trim());
    let any = |choice: &str| choice.split(" OR ").any(meets);
    match both {
        // Of `A AND (B OR C)` and the like: each side of every AND has one that is allowed.
        true => plain.split(" AND ").all(any),
        // AND binds more tightly than OR.
        false => plain
            .split(" OR ")
            .any(|choice| choice.split(" AND ").all(meets)),
    }
}

#[test]
fn crates_come_from_one_place_under_allowed_licences() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "these are not all");
    let mut sources = packages.iter().filter_map(|one| one["source"].as_str());
    let registry = sources.next().unwrap();
    assert!(registry.starts_with("registry+"), "{registry}");
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        let source = package["source"].as_str();
        // Our own has no source, nor has the copy of sled with our changes (vendor/sled/README.md).
        let ours = ["sealdav", "sled"].contains(&name);
        if source.is_some_and(|source| source != registry) || (source.is_none() && !ours) {
            wrong.push(format!("{name} comes from {source:?}"));
        }
        if !is_allowed(licence) {
            wrong.push(format!("{name} is under {licence}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn licences_are_told_apart() {
    for allowed in [
        "MIT OR Apache-2.0",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "ISC AND (Apache-2.0 OR ISC)",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "(MIT OR Apache-2.0) AND AGPL-3.0",
        "none",
    ] {
        assert!(!is_allowed(refused), "{refused}");
    }
}
