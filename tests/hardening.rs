//! What has gone wrong in servers of this kind, each as an input that must not do it to this one.
//!
//! Where each class of fault is tested (those of features that are not there are left out):
//!
//! | row | fault | proven by |
//! |---|---|---|
//! | H1 | path traversal | `h01_*` in `hardening/doors.rs`; `dav::target` (`h1_path_traversal`); `dav::resource_tests` (`h1_and_h12_destinations`) |
//! | H2 | user names as patterns | `h02_*` in `hardening/doors.rs` |
//! | H4 | XML entities | `xml::tests` (`h4_doctypes_and_entities_are_refused`); `h04_*` in `dav::hardening_tests` |
//! | H5 | XML cost | `xml::tests` (`h5_costs_are_bounded_before_they_are_paid`, `h5_a_long_namespace_is_not_multiplied`) |
//! | H7 | recurrence bombs | `ical::recur::tests`, `ical::instances_tests` |
//! | H8 | parser loops and crashes | `h08_*` in `hardening/parser.rs`; `ical::tree_tests` (`limits_hold`, `any_bytes_are_an_answer`) |
//! | H9 | hash flooding | `xml::tests` (`h9_lookups_do_not_depend_on_what_is_declared`); `h09_*` in `dav::hardening_tests` |
//! | H10 | quadratic listings | `h10_*` in `dav::hardening_tests` |
//! | H11 | infinite depth | `h11_*` in `dav::hardening_tests` |
//! | H12 | other people's data by another door | `dav::isolation_tests`; `vault::tests` (`a_second_account_sees_nothing_of_the_first`); `isolation.rs` |
//! | H15 | enumeration of people | `h15_*` in `dav::hardening_tests` |
//! | H17, H18 | scripts in names, active content | `dav::get` (`h17_*`, `h18_*`); `dav::resource_tests` (`h18_active_content_is_not_run`) |
//! | H23 | request smuggling | `http::tests` (`h23_request_smuggling`, `a_short_unwanted_body_costs_no_connection`) |
//! | H24 | HTTP/2 floods | `http::tests` (`h24_http2_floods`); `h24_*` in `hardening/floods.rs` |
//! | H25 | slow and huge bodies | `http::tests` (`h25_slow_and_huge_bodies`, `memory_for_bodies_is_shared`, `slow_readers_hold_nothing_and_are_cut`); `h25_*` in `hardening/floods.rs` |
//! | H26 | log injection | `http::tests` (`h26_log_injection`); `h26_*` in `hardening/secrets.rs` |
//! | H27 | secrets in logs and answers | `h27_*` in `hardening/secrets.rs`; `canary.rs`; `http::tests` (`a_panic_is_one_500`) |
//! | H28, H29 | lost writes, failing disks | `store::tests` |
//! | H30 | damaged rows | `seal::row`, `store::tests` (`damage_never_gives_wrong_bytes`) |
//! | H31 | lost update | `dav::resource_tests` (`h31_of_concurrent_puts_with_the_same_if_match_one_wins`); `h31_*` in `hardening/doors.rs` |
//! | H32 | bad stored item stops everything | `h32_*` in `hardening/damage.rs` |

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
