//! Row-level security: without the key there is no handle, and one handle makes no other.
fn wrong(account: &sealdav::vault::AccountStore) {
    let _inner = &account.inner;
}

fn main() {}
