//! What write locks forbid (RFC 4918 sections 6 and 7), as functions of the locks alone.
//!
//! A locked resource may be changed by who submits the token of a lock that covers it. Locks
//! share a resource only when all of them are shared, and then the token of any one will do.

use std::sync::Arc;

use crate::ids::Segment;
use crate::vault::{Lock, LockDepth, LockScope};

/// What a method is about to do to a path below the home.
#[derive(Debug, Clone, Copy)]
pub enum Write<'a> {
    /// The content or the properties of what is there change.
    Modify(&'a [Segment]),
    /// A new member comes to stand there.
    Create(&'a [Segment]),
    /// What is there goes, with everything below it.
    Remove(&'a [Segment]),
    /// What is there goes, with everything below it, and something else takes its name.
    Replace(&'a [Segment]),
}

/// Whether the resource at `path` is locked by `lock`, directly or indirectly (section 6.1).
pub fn covers(lock: &Lock, path: &[Segment]) -> bool {
    match lock.depth {
        LockDepth::Zero => lock.root == path,
        LockDepth::Infinity => path.starts_with(&lock.root),
    }
}

/// The lock that forbids `write` because its token was not submitted (section 7.5); none when
/// it may go ahead.
pub fn forbids<'l>(
    locks: &'l [Arc<Lock>],
    submitted: &[String],
    write: Write<'_>,
) -> Option<&'l Lock> {
    let on = |path: &[Segment]| held_by_others(locks, submitted, path);
    match write {
        Write::Modify(path) => on(path),
        Write::Create(path) => on(path).or_else(|| on(parent(path))),
        // a member comes, goes or is exchanged: its collection changes too (section 7.4)
        Write::Remove(path) | Write::Replace(path) => on(path)
            .or_else(|| on(parent(path)))
            .or_else(|| below(locks, path).find_map(|lock| on(&lock.root))),
    }
}

/// The lock that a new one from `root` would conflict with (section 9.10.5).
pub fn conflicts<'l>(
    locks: &'l [Arc<Lock>],
    root: &[Segment],
    depth: LockDepth,
    scope: LockScope,
) -> Option<&'l Lock> {
    let meets = |lock: &&Arc<Lock>| {
        let inside = depth == LockDepth::Infinity && lock.root.starts_with(root);
        covers(lock, root) || inside
    };
    let excludes =
        |lock: &&Arc<Lock>| scope == LockScope::Exclusive || lock.scope == LockScope::Exclusive;
    locks.iter().filter(meets).find(excludes).map(Arc::as_ref)
}

/// A lock on the resource at `path`, when there are locks and the token of none was submitted.
fn held_by_others<'l>(
    locks: &'l [Arc<Lock>],
    submitted: &[String],
    path: &[Segment],
) -> Option<&'l Lock> {
    let mut first = None;
    for lock in locks.iter().filter(|lock| covers(lock, path)) {
        if submitted.contains(&lock.token) {
            return None;
        }
        first = first.or(Some(lock.as_ref()));
    }
    first
}

/// The locks whose root lies below `path`.
fn below<'l>(locks: &'l [Arc<Lock>], path: &[Segment]) -> impl Iterator<Item = &'l Arc<Lock>> {
    locks
        .iter()
        .filter(move |lock| lock.root.len() > path.len() && lock.root.starts_with(path))
}

/// The path of the collection that `path` is in; the home's own is its own.
fn parent(path: &[Segment]) -> &[Segment] {
    path.split_last().map_or(path, |(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::UnixMillis;

    fn path(text: &str) -> Vec<Segment> {
        let segments = text.split('/').filter(|segment| !segment.is_empty());
        segments
            .map(|segment| Segment::parse(segment).unwrap())
            .collect()
    }

    fn lock(token: &str, root: &str, depth: LockDepth, scope: LockScope) -> Arc<Lock> {
        Arc::new(Lock {
            token: token.into(),
            root: path(root),
            depth,
            scope,
            owner: String::new(),
            expires: UnixMillis(0),
        })
    }

    fn forbidden(locks: &[Arc<Lock>], submitted: &[&str], write: Write<'_>) -> Option<String> {
        let submitted: Vec<String> = submitted.iter().map(|token| token.to_string()).collect();
        forbids(locks, &submitted, write).map(|lock| lock.token.clone())
    }

    #[test]
    fn rfc4918_7_4_a_depth_zero_lock_protects_the_members_names_but_not_their_content() {
        let locks = [lock("L", "c", LockDepth::Zero, LockScope::Exclusive)];
        let member = path("c/m");
        let deeper = path("c/m/n");
        let other = path("d");
        assert_eq!(forbidden(&locks, &[], Write::Modify(&member)), None);
        for write in [
            Write::Create(&member),
            Write::Remove(&member),
            Write::Replace(&member),
        ] {
            assert_eq!(forbidden(&locks, &[], write), Some("L".into()), "{write:?}");
            assert_eq!(forbidden(&locks, &["L"], write), None, "{write:?}");
        }
        assert_eq!(forbidden(&locks, &[], Write::Create(&deeper)), None);
        assert_eq!(forbidden(&locks, &[], Write::Create(&other)), None);
        assert_eq!(
            forbidden(&locks, &[], Write::Modify(&path("c"))),
            Some("L".into())
        );
    }

    #[test]
    fn rfc4918_7_4_a_depth_infinity_lock_protects_everything_below() {
        let locks = [lock("L", "c", LockDepth::Infinity, LockScope::Exclusive)];
        let deep = path("c/m/n");
        for write in [
            Write::Modify(&deep),
            Write::Create(&deep),
            Write::Remove(&deep),
        ] {
            assert_eq!(forbidden(&locks, &[], write), Some("L".into()), "{write:?}");
            assert_eq!(forbidden(&locks, &["L"], write), None, "{write:?}");
        }
        // a name that only begins alike is another
        assert_eq!(forbidden(&locks, &[], Write::Modify(&path("cc"))), None);
    }

    #[test]
    fn a_tree_goes_only_with_the_tokens_of_all_locks_in_it() {
        let locks = [
            lock("A", "c/a", LockDepth::Zero, LockScope::Exclusive),
            lock("B", "c/b/x", LockDepth::Zero, LockScope::Exclusive),
        ];
        let tree = path("c");
        assert_eq!(
            forbidden(&locks, &["B"], Write::Remove(&tree)),
            Some("A".into())
        );
        assert_eq!(
            forbidden(&locks, &["A"], Write::Remove(&tree)),
            Some("B".into())
        );
        assert_eq!(forbidden(&locks, &["A", "B"], Write::Remove(&tree)), None);
        assert_eq!(forbidden(&locks, &[], Write::Modify(&tree)), None);
    }

    #[test]
    fn the_members_own_lock_is_needed_besides_its_collections() {
        let locks = [
            lock("C", "c", LockDepth::Zero, LockScope::Exclusive),
            lock("M", "c/m", LockDepth::Zero, LockScope::Exclusive),
        ];
        let member = path("c/m");
        assert_eq!(
            forbidden(&locks, &["M"], Write::Remove(&member)),
            Some("C".into())
        );
        assert_eq!(
            forbidden(&locks, &["C"], Write::Remove(&member)),
            Some("M".into())
        );
        assert_eq!(forbidden(&locks, &["C", "M"], Write::Remove(&member)), None);
        assert_eq!(forbidden(&locks, &["M"], Write::Modify(&member)), None);
    }

    #[test]
    fn any_one_of_several_shared_locks_will_do() {
        let locks = [
            lock("A", "m", LockDepth::Zero, LockScope::Shared),
            lock("B", "m", LockDepth::Zero, LockScope::Shared),
        ];
        let member = path("m");
        assert_eq!(forbidden(&locks, &["B"], Write::Modify(&member)), None);
        assert_eq!(
            forbidden(&locks, &["elsewhere"], Write::Modify(&member)),
            Some("A".into())
        );
    }

    #[test]
    fn rfc4918_9_10_5_lock_compatibility_table() {
        use LockScope::{Exclusive, Shared};
        for (held, asked, granted) in [
            (Shared, Shared, true),
            (Shared, Exclusive, false),
            (Exclusive, Shared, false),
            (Exclusive, Exclusive, false),
        ] {
            let locks = [lock("L", "c/m", LockDepth::Zero, held)];
            let met = |root: &str, depth| conflicts(&locks, &path(root), depth, asked).is_none();
            assert_eq!(met("c/m", LockDepth::Zero), granted, "{held:?} {asked:?}");
            // from above, only a lock of depth infinity reaches the member
            assert_eq!(met("c", LockDepth::Infinity), granted, "{held:?} {asked:?}");
            assert!(met("c", LockDepth::Zero));
            assert!(met("c/m/n", LockDepth::Infinity));
            assert!(met("d", LockDepth::Infinity));
        }
        let above = [lock("L", "c", LockDepth::Infinity, Exclusive)];
        assert!(conflicts(&above, &path("c/m/n"), LockDepth::Zero, Shared).is_some());
    }
}
