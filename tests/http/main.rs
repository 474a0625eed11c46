//! The http floor over real sockets: see HARDENING H23 to H27.

mod harness;
mod http2;
mod log;
mod requests;
mod slow;
mod smuggling;
mod spot;
