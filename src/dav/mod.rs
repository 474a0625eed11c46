//! WebDAV and CalDAV: requests and answers as values.

pub mod headers;
