//! What has gone wrong in servers of this kind, each as an input that must not do it to this one.
//!
//! Where each class of fault is tested (those of features that are not there are left out):
//!
//! | row | fault | proven by |
//! |---|---|---|
//! | H1 | path traversal | `h01_*` in `tests/hardening/doors.rs`; `h1_path_traversal` in `src/dav/target.rs`; `h1_and_h12_destinations` in `src/dav/tests/resources.rs` |
//! | H2 | user names as patterns | `h02_*` in `tests/hardening/doors.rs` |
//! | H4 | XML entities | `h4_*` in `src/xml/tests.rs`, `src/dav/tests/discovery.rs`; `h04_*` in `src/dav/hardening_tests.rs` |
//! | H5 | XML cost | `h5_*` in `src/xml/tests.rs` |
//! | H7 | recurrence bombs | `src/ical/recur/tests.rs`; `searches_about_one_object_are_bounded` in `src/ical/instances_tests.rs` |
//! | H8 | parser loops and crashes | `h08_*` in `tests/hardening/parser.rs`; `limits_hold`, `any_bytes_are_an_answer` in `src/ical/tree_tests.rs` |
//! | H9 | hash flooding | `h9_*` in `src/xml/tests.rs`; `h09_*` in `src/dav/hardening_tests.rs` |
//! | H10 | quadratic listings | `h10_*` in `src/dav/hardening_tests.rs`, `src/dav/tests/listing.rs` |
//! | H11 | infinite depth | `h11_*` in `src/dav/hardening_tests.rs` |
//! | H12 | other people's data by another door | `h12_*`, `p6_*` in `src/dav/isolation_tests.rs`; `a_second_account_sees_nothing_of_the_first` in `src/vault/tests.rs`; `tests/isolation.rs` |
//! | H14 | access after revocation | `h14_*` in `src/dav/tests/discovery.rs`; `a_revoked_app_password_ends_at_once_and_others_do_not` in `src/account/tests.rs` |
//! | H15 | enumeration of people | `h15_*` in `src/dav/hardening_tests.rs` |
//! | H17 | scripts in names, other sites | `h17_*` in `src/dav/get.rs`, `tests/http/requests.rs` |
//! | H18 | active content | `h18_*` in `src/dav/get.rs`, `src/dav/tests/resources.rs` |
//! | H23 | request smuggling | `h23_*` in `tests/http/smuggling.rs` |
//! | H24 | HTTP/2 floods | `h24_*` in `tests/http/http2.rs`, `tests/hardening/floods.rs` |
//! | H25 | slow and huge bodies | `h25_*` in `tests/http/slow.rs`, `tests/hardening/floods.rs` |
//! | H26 | log injection | `h26_*` in `tests/http/log.rs`, `tests/hardening/secrets.rs` |
//! | H27 | secrets in logs and answers | `h27_*` in `tests/hardening/secrets.rs`; `tests/canary.rs` |
//! | H28 | acknowledged, then lost | `a_killed_writer_loses_and_tears_nothing` in `src/store/tests.rs` |
//! | H29 | failing disk | `after_a_failed_sync_nothing_is_acknowledged_until_reopened` in `src/store/tests.rs` |
//! | H30 | damaged rows | `src/seal/row.rs`; `damage_never_gives_wrong_bytes` in `src/store/tests.rs` |
//! | H31 | lost update | `h31_*` in `src/dav/tests/resources.rs`, `tests/hardening/doors.rs` |
//! | H32 | bad stored item stops everything | `h32_*` in `tests/hardening/damage.rs`, `src/dav/tests/reports.rs` |

mod common;

#[path = "hardening/damage.rs"]
mod damage;
#[path = "hardening/doors.rs"]
mod doors;
#[path = "hardening/floods.rs"]
mod floods;
#[path = "hardening/parser.rs"]
mod parser;
#[path = "hardening/secrets.rs"]
mod secrets;

/// The table above is true: its files are there, and each holds the tests named beside it.
#[test]
fn the_table_names_tests_that_are_there() {
    let mut checked = 0;
    let table = include_str!("hardening.rs").lines();
    let rows = table.filter(|line| line.starts_with("//! | H"));
    for clause in rows.flat_map(|row| row.split(';')) {
        let tokens = clause.split('`').skip(1).step_by(2);
        let (files, tests): (Vec<&str>, Vec<&str>) = tokens.partition(|token| token.contains('/'));
        for file in files {
            let text = std::fs::read_to_string(file);
            let text = text.unwrap_or_else(|_| panic!("{file} is not there"));
            assert!(
                text.contains("#[test]") || text.contains("#[tokio::test"),
                "{file}"
            );
            for test in &tests {
                let function = match test.strip_suffix('*') {
                    Some(begin) => format!("fn {begin}"),
                    None => format!("fn {test}("),
                };
                assert!(text.contains(&function), "{test} is not in {file}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "the table was not found");
}
