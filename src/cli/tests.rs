//! The local socket with an office whose accounts are not needed is tested once vault is there.
