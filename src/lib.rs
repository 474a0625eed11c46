//! sealdav: a CalDAV server that stores every calendar object sealed with per-user keys.
//!
//! ARCHITECTURE.md is the code map. A module imports only from floors below its own;
//! `tests/house.rs` scans the imports.

// floor 0
pub mod ambient;
pub mod config;
pub mod figures;
pub mod ids;
pub mod limits;
// floor 1
pub mod ical;
pub mod seal;
pub mod xml;
// floor 2
pub mod store;
// floor 3
pub mod vault;
// floor 4
pub mod account;
pub mod backup;
// floor 5
pub mod dav;
// floor 6
pub mod cli;
pub mod http;
pub mod port;
