//! Opaque rows in sled: get, scan, atomic commit, durability receipt. Owns sled.
