//! Recurrence (RFC 5545 section 3.8.5).
