//! The audit trail over a real vault.
