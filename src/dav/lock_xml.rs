//! Locks as XML: DAV:activelock and DAV:lockdiscovery (RFC 4918 sections 14.1 and 15.8),
//! for the answer to LOCK and for the property.

use std::sync::Arc;

use super::locks;
use super::target::{HrefForm, href};
use crate::ambient::UnixMillis;
use crate::ids::Segment;
use crate::vault::{AccountStore, Lock, LockDepth, LockScope, Node};
use crate::xml::{Writer, dav};

/// Writes DAV:lockdiscovery of the resource at `path`: every lock that covers it. The element
/// is there, empty, when there is none.
pub fn write_lock_discovery(
    writer: &mut Writer,
    account: &AccountStore,
    path: &[Segment],
    now: UnixMillis,
) {
    let locks = account.locks();
    let covering = locks
        .iter()
        .map(Arc::as_ref)
        .filter(|lock| locks::covers(lock, path));
    write_locks(writer, account, covering, now);
}

/// Writes DAV:lockdiscovery of these locks.
pub fn write_locks<'l>(
    writer: &mut Writer,
    account: &AccountStore,
    locks: impl Iterator<Item = &'l Lock>,
    now: UnixMillis,
) {
    writer.start(dav("lockdiscovery"));
    for lock in locks {
        write_active_lock(writer, account, lock, now);
    }
    writer.end();
}

/// Writes one DAV:activelock.
pub fn write_active_lock(
    writer: &mut Writer,
    account: &AccountStore,
    lock: &Lock,
    now: UnixMillis,
) {
    let form = match account.resolve(&lock.root) {
        Ok(Node::Collection(_)) => HrefForm::Collection,
        _ => HrefForm::Object,
    };
    writer.start(dav("activelock"));
    write_kind(writer, lock.scope);
    let depth = match lock.depth {
        LockDepth::Zero => "0",
        LockDepth::Infinity => "infinity",
    };
    writer.element_text(dav("depth"), depth);
    if !lock.owner.is_empty() {
        // stored as the self-contained element that the client sent (section 14.17)
        writer.raw(&lock.owner);
    }
    let left = lock.expires.0.saturating_sub(now.0).max(0);
    // rounded up, so that a lock that still holds never says Second-0
    let seconds = left.saturating_add(999) / 1000;
    writer.element_text(dav("timeout"), &format!("Second-{seconds}"));
    for (name, value) in [
        (dav("locktoken"), lock.token.as_str()),
        (dav("lockroot"), &href(account.name(), &lock.root, form)),
    ] {
        writer.start(name);
        writer.element_text(dav("href"), value);
        writer.end();
    }
    writer.end();
}

/// Writes DAV:supportedlock (section 15.10): write locks, exclusive and shared.
pub fn write_supported_lock(writer: &mut Writer) {
    writer.start(dav("supportedlock"));
    for scope in [LockScope::Exclusive, LockScope::Shared] {
        writer.start(dav("lockentry"));
        write_kind(writer, scope);
        writer.end();
    }
    writer.end();
}

fn write_kind(writer: &mut Writer, scope: LockScope) {
    writer.start(dav("lockscope"));
    writer.empty(dav(match scope {
        LockScope::Exclusive => "exclusive",
        LockScope::Shared => "shared",
    }));
    writer.end();
    writer.start(dav("locktype"));
    writer.empty(dav("write"));
    writer.end();
}
