//! Each kind of row: what it is called, how it is checked, what it means when it is damaged, and
//! what its user does then. The match has no arm for 'all others', so that a new kind is seen.

use super::account::AccountWalk;
use super::collection::CollectionWalk;
use super::{Step, host};
use crate::seal::Kind;
use crate::vault::model::Summary;

/// How the rows of a kind are checked.
pub(super) enum By {
    /// With the host key.
    Host(fn(&mut super::Check<'_>) -> Step),
    /// With the account's key.
    Account(fn(&mut AccountWalk<'_, '_>) -> Step),
    /// For each collection.
    Collection(fn(&mut CollectionWalk<'_, '_>) -> Step),
    /// For each object: what is wrong, if anything is.
    Object(ObjectCheck),
    /// Together with those of another kind, in which they stand or on which they hang.
    With(Kind),
}

/// Checks what hangs on a summary.
pub(super) type ObjectCheck =
    fn(&mut CollectionWalk<'_, '_>, &Summary) -> Step<Option<&'static str>>;

/// See the module.
pub(super) struct Entry {
    pub name: &'static str,
    pub by: By,
    pub means: &'static str,
    pub advice: &'static str,
}

const RESTORE: &str =
    "restore the data from a backup, or export what a device still has before it is synced anew";
const DROP: &str = "run the same command with --drop-damaged";

/// The one table.
pub(super) const fn entry(kind: Kind) -> Entry {
    let (name, by, means, advice) = match kind {
        Kind::HostCheck => (
            "host check",
            By::Host(host::host_check),
            "the server does not start again: it takes the host key for a wrong one",
            "restore the data from a backup before the server is stopped",
        ),
        Kind::Directory => (
            "directory row",
            By::Host(host::directory),
            "the account cannot sign in",
            "restore the data from a backup",
        ),
        Kind::Slot => (
            "key file",
            By::Host(host::key_files),
            "whoever has the secret of a key slot that is lost or damaged cannot open the account",
            "restore the file from its backup, and start the server again",
        ),
        Kind::SlotAbout => (
            "label of a key slot",
            By::With(Kind::Slot),
            "lists of devices do not name this one, and its key cannot be changed without its secret",
            "make a new app password for the device and revoke this one",
        ),
        Kind::Roster => (
            "roster row",
            By::Host(host::roster),
            "rows of a collection would be left behind when it is deleted; nothing is lost",
            "run the same command with --user NAME --drop-damaged for the account",
        ),
        Kind::Grant => (
            "granted calendar",
            By::Host(host::grants),
            "a device with chosen calendars does not see this calendar",
            "run the same command with --user NAME --drop-damaged for the account, which makes it anew",
        ),
        Kind::AuditRoot => (
            "audit trail",
            By::Host(host::audit),
            "the trail, or the data, is not as it was written",
            "find out who had access to the disk; `sealdav audit export` keeps what is there",
        ),
        Kind::AuditPage => ("page of the audit trail", By::With(Kind::AuditRoot), "", ""),
        Kind::Device => (
            "device",
            By::Host(host::devices),
            "when this device was used is not known any more",
            "nothing: it is written anew when the device is used",
        ),
        Kind::Link => (
            "link of a collection",
            By::Account(|walk| walk.links()),
            "the collection, with all in it, is not served: the row holds its keys",
            RESTORE,
        ),
        Kind::Head => (
            "head of a collection",
            By::Account(|walk| walk.heads()),
            "the collection is not served, or what is served is not its last state",
            RESTORE,
        ),
        Kind::Lock => (
            "lock",
            By::Account(|walk| walk.locks()),
            "an app that locked something may be overwritten by another one",
            DROP,
        ),
        Kind::Grants => (
            "list of devices with chosen calendars",
            By::Account(|walk| walk.grants()),
            "what changes in the names and keys of calendars does not reach these devices",
            "run the same command with --drop-damaged; if the list itself is lost, make new app passwords for these devices",
        ),
        Kind::FormerKeys => (
            "keys of before",
            By::Account(|walk| walk.former_keys()),
            "what the audit trail told before the account got its present key cannot be read",
            "nothing brings them back but a backup",
        ),
        Kind::TrashedLink => (
            "link of a deleted collection",
            By::Account(|walk| walk.trash()),
            "the deleted collection cannot be restored from the trash",
            "nothing, or restore it from a backup",
        ),
        Kind::History => (
            "past versions of an object",
            By::Collection(|walk| walk.histories()),
            "the object's past versions cannot all be restored; the object itself is served",
            DROP,
        ),
        Kind::AuditKey => ("key of a day", By::With(Kind::AuditEntries), "", ""),
        Kind::AuditEntries => (
            "entries of the audit trail",
            By::Account(|walk| walk.trail()),
            "what happened in these hours cannot be read",
            "nothing brings them back but a backup",
        ),
        Kind::CollectionProperties => (
            "properties of a collection",
            By::Collection(|walk| walk.properties()),
            "the collection is served without its name, colour and other properties",
            "run the same command with --drop-damaged, then name the calendar again",
        ),
        Kind::Summary => (
            "summary of an object",
            By::Collection(|walk| walk.summaries()),
            "the object is not served; devices that have it still show it until they are synced anew",
            "export the object from a device that has it; then run the same command with --drop-damaged, and put it again",
        ),
        Kind::Body => (
            "body of an object",
            By::Object(|walk, summary| walk.body(summary)),
            "the object is listed, and cannot be read",
            "export the object from a device that has it; then run the same command with --drop-damaged, and put it again",
        ),
        Kind::ObjectProperties => (
            "properties of an object",
            By::Object(|walk, summary| walk.object_properties(summary)),
            "the object is served, and asking for its properties fails",
            DROP,
        ),
    };
    Entry {
        name,
        by,
        means,
        advice,
    }
}

/// The checks of objects, in the order of the list of kinds.
pub(super) fn of_objects() -> impl Iterator<Item = (Kind, ObjectCheck)> {
    Kind::ALL.iter().filter_map(|kind| match entry(*kind).by {
        By::Object(check) => Some((*kind, check)),
        _ => None,
    })
}
