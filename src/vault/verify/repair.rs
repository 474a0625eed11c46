//! Dropping what is damaged, so that the rest is served and clients may put anew what is gone.
//!
//! An object that is dropped leaves no tombstone, and its collection keeps its revision: no client
//! is told that the object was deleted, since a client may have the only copy that is left. What
//! cannot be dropped without losing more (links and heads) stays as it is.

use super::account::AccountWalk;
use super::collection::CollectionWalk;
use super::table::{self, By};
use super::{Check, Listener, Step, VerifyError, VerifyEvent, VerifyTotals};
use crate::ids::{AccountId, CollectionId, SlotId};
use crate::limits;
use crate::seal::{AccountKey, Kind, RowName, Sealed};
use crate::store::Batch;
use crate::vault::Vault;
use crate::vault::audit::{Action, Happening, HeadsDelta};
use crate::vault::chunks::chunks;
use crate::vault::grant::GrantRow;
use crate::vault::model::Summary;
use crate::vault::rows::{HeadRow, SummaryRow, decode, digest_sub, encode};
use crate::vault::tree::{State, scanned_place};
use crate::vault::unlock::live;

impl Vault {
    /// Drops damaged objects, properties, locks and grants of an account, and brings up to it what
    /// they add up to. Nobody has the account open meanwhile; whoever had signs in again. `slot` is
    /// told to the audit trail. What was dropped is durable when it is told.
    ///
    /// # Errors
    /// As `verify_store`; what was told to be dropped is.
    pub fn drop_damaged<'a>(
        &'a self,
        account: AccountId,
        key: &AccountKey,
        slot: SlotId,
        listener: &'a mut Listener<'a>,
    ) -> Result<VerifyTotals, VerifyError> {
        let mut only_dropped = |event: VerifyEvent| match event {
            VerifyEvent::Dropped(_) | VerifyEvent::Progress(_) => listener(event),
            VerifyEvent::Fault(_) | VerifyEvent::Unchecked(_) => Ok(()),
        };
        self.alone(account, || {
            self.store.barrier().wait()?;
            let mut check = Check::new(self, &mut only_dropped);
            let mut walk = AccountWalk::new(&mut check, account, key);
            walk.links()?;
            drop_locks(&mut walk)?;
            mend_grants(&mut walk)?;
            mend_roster(&mut walk)?;
            let ids: Vec<_> = walk.tree.keys().copied().collect();
            for id in ids {
                let (path, state) = (walk.path(id), walk.tree[&id].state.clone());
                let link = walk.link_name(id);
                let mut one = CollectionWalk::new(walk.check, state, path, link);
                if let Some(head) = one.head()? {
                    drop_histories(&mut one)?;
                    mend_collection(&mut one, head, slot)?;
                    drop_strays(&mut one)?;
                }
            }
            Ok(check.totals)
        })
    }
}

fn delete(vault: &Vault, names: &[RowName]) -> Step {
    for some in names.chunks(limits::PURGE_ROWS) {
        let mut batch = Batch::new();
        some.iter().for_each(|name| batch.delete(*name));
        vault.store.commit(batch).wait()?;
    }
    Ok(())
}

fn drop_locks(walk: &mut AccountWalk<'_, '_>) -> Step {
    let damaged = walk.damaged_locks()?;
    delete(walk.vault(), &damaged)?;
    for _ in damaged {
        walk.check.dropped("a damaged lock was dropped".into())?;
    }
    Ok(())
}

/// Makes the rows of granted calendars anew, or drops them all when the list of them is lost.
fn mend_grants(walk: &mut AccountWalk<'_, '_>) -> Step {
    let (vault, account) = (walk.vault(), walk.account);
    let mut damaged = Vec::new();
    let mut all = Vec::new();
    for row in vault.store.scan(&vault.grant_prefix(account)) {
        let (name, stored) = row?;
        let place = scanned_place(Kind::Grant, AccountId::NONE, CollectionId::NONE, &name);
        let content = stored.open(&vault.host_rows, &place).ok();
        if content
            .and_then(|content| decode::<GrantRow>(&content))
            .is_none_or(|row| vault.grant_name(account, row.slot, row.collection) != name)
        {
            damaged.push(name);
        }
        all.push(name);
    }
    let grants = match walk.listed()? {
        Ok(grants) => grants,
        Err(name) => {
            all.push(name);
            delete(vault, &all)?;
            return walk.check.dropped(
                "the damaged list of devices with chosen calendars was dropped: these devices see nothing any more and need new app passwords"
                    .into(),
            );
        }
    };
    if damaged.is_empty() && walk.ungranted(&grants)?.is_empty() {
        return Ok(());
    }
    delete(vault, &damaged)?;
    let home = walk.home().map(|home| home.link.id);
    let mut batch = Batch::new();
    for grant in &grants {
        if !vault.has_slot(account, grant.slot) {
            continue;
        }
        for id in grant.calendars.iter().copied().chain(home) {
            if let Some(linked) = walk.tree.get(&id) {
                let (name, row) = vault.seal_grant(account, grant, &linked.link);
                batch.put(name, row);
            }
        }
    }
    vault.store.commit(batch).wait()?;
    walk.check
        .dropped("damaged rows of granted calendars were dropped, and made anew".into())
}

fn mend_roster(walk: &mut AccountWalk<'_, '_>) -> Step {
    let (vault, account) = (walk.vault(), walk.account);
    let lacking = walk.lacking()?;
    let mut batch = Batch::new();
    if !walk.is_on_roster()? {
        vault.put_roster(&mut batch, &vault.account_roster(account, &walk.keys));
    }
    for id in &lacking {
        vault.put_roster(&mut batch, &live(account, *id, &walk.tree[id].state));
    }
    vault.store.commit(batch).wait()?;
    if !lacking.is_empty() {
        let sentence = format!(
            "the roster rows of {} collections were made anew",
            lacking.len()
        );
        walk.check.dropped(sentence)?;
    }
    Ok(())
}

/// What of an object is damaged.
struct Damaged {
    summary: Summary,
    /// The object is dropped with all its rows; otherwise its properties alone.
    whole: bool,
    what: &'static str,
}

fn mend_collection(one: &mut CollectionWalk<'_, '_>, head: HeadRow, slot: SlotId) -> Step {
    let vault = one.vault();
    let state = one.state.clone();
    let sum = one.add_up()?;
    let damaged = damaged_objects(one)?;
    let lost_properties = one.damaged_properties(&head)?.is_some();
    let mut new = HeadRow {
        digest: sum.digest,
        objects: sum.objects,
        ..head
    };
    let (mut batch, mut rows, mut told) = (Batch::new(), Vec::new(), Vec::new());
    for name in &sum.damaged {
        batch.delete(*name);
        let row = name.short();
        told.push(format!(
            "{}: an object whose summary (row {row}) is damaged was dropped",
            one.path
        ));
    }
    for Damaged {
        summary,
        whole,
        what,
    } in damaged
    {
        let name = state.names.row(Kind::Summary, summary.id.bytes(), 0, 0);
        let object = summary.segment.as_str();
        if whole {
            batch.delete(name);
            new.objects -= 1;
            let digest = state.etags.digest(summary.id, summary.revision);
            digest_sub(&mut new.digest, &digest);
            rows.extend(chunk_names(&state, Kind::Body, &summary));
            told.push(format!(
                "{}: the object {object} was dropped: {what}",
                one.path
            ));
        } else {
            told.push(format!(
                "{}: the properties of the object {object} were dropped",
                one.path
            ));
            let kept = Summary {
                properties_revision: 0,
                properties_bytes: 0,
                ..summary.clone()
            };
            let kept = SummaryRow::Live(kept);
            batch.put(name, sealed(vault, &state, Kind::Summary, &name, &kept));
        }
        rows.extend(chunk_names(&state, Kind::ObjectProperties, &summary));
    }
    if lost_properties {
        (new.properties_revision, new.properties_bytes) = (0, 0);
        told.push(format!("{}: its damaged properties were dropped", one.path));
    }
    if told.is_empty() && new != head {
        told.push(format!(
            "{}: it counted {} objects and has {}; what is there is served again",
            one.path, head.objects, new.objects
        ));
    }
    if told.is_empty() {
        return Ok(());
    }
    let name = state.head_name();
    batch.put(name, sealed(vault, &state, Kind::Head, &name, &new));
    commit_told(vault, &state, batch, slot)?;
    delete(vault, &rows)?;
    told.into_iter()
        .try_for_each(|sentence| one.check.dropped(sentence))
}

/// Commits a change together with what the audit trail tells of it.
fn commit_told(vault: &Vault, state: &State, mut batch: Batch, slot: SlotId) -> Step {
    let chain = vault.chain(state.account);
    let mut writing = vault.audit.writing(&chain);
    let what = Happening::within(Action::Delete, slot, state.id);
    let (now, heads) = (vault.ambient.now(), HeadsDelta::default());
    vault.record_change(&mut writing, &mut batch, now, &[what], &heads);
    let receipt = vault.store.commit(batch);
    drop(writing);
    Ok(receipt.wait()?)
}

fn sealed<T: serde::Serialize>(
    vault: &Vault,
    state: &State,
    kind: Kind,
    name: &RowName,
    row: &T,
) -> Sealed {
    let epoch = state.current();
    let place = state.scanned_place(kind, name, epoch.number);
    epoch.rows.seal_by(&place, &encode(row), &vault.ambient)
}

fn chunk_names(state: &State, kind: Kind, summary: &Summary) -> Vec<RowName> {
    let (revision, bytes) = match kind {
        Kind::Body => (summary.body_revision, summary.size),
        _ => (summary.properties_revision, summary.properties_bytes),
    };
    if revision == 0 {
        return Vec::new();
    }
    let name = |chunk| state.names.row(kind, summary.id.bytes(), revision, chunk);
    (0..chunks(bytes)).map(name).collect()
}

/// Live objects of which something does not open.
fn damaged_objects(one: &mut CollectionWalk<'_, '_>) -> Step<Vec<Damaged>> {
    let vault = one.vault();
    let mut damaged = Vec::new();
    for row in vault.store.scan(&one.state.names.prefix(Kind::Summary)) {
        let (name, stored) = row?;
        let Some(SummaryRow::Live(summary)) = one.open_summary(&name, &stored) else {
            continue;
        };
        for (kind, check) in table::of_objects() {
            if let Some(what) = check(one, &summary)? {
                damaged.push(Damaged {
                    summary,
                    // Without its body there is nothing to keep.
                    whole: kind != Kind::ObjectProperties,
                    what,
                });
                break;
            }
        }
    }
    Ok(damaged)
}

/// The versions that they list go with the strays.
fn drop_histories(one: &mut CollectionWalk<'_, '_>) -> Step {
    let damaged = one.damaged_histories()?;
    let names: Vec<_> = damaged.iter().map(|(name, _)| *name).collect();
    delete(one.vault(), &names)?;
    for (name, what) in damaged {
        let row = name.short();
        let sentence = format!(
            "{}: past versions (row {row}) were dropped: {what}",
            one.path
        );
        one.check.dropped(sentence)?;
    }
    Ok(())
}

fn drop_strays(one: &mut CollectionWalk<'_, '_>) -> Step {
    for kind in Kind::ALL {
        let hangs =
            matches!(table::entry(*kind).by, By::Object(_)) || *kind == Kind::CollectionProperties;
        if !hangs {
            continue;
        }
        let mut dropped = 0;
        loop {
            let strays = one.strays_of(*kind)?;
            if strays.is_empty() {
                break;
            }
            delete(one.vault(), &strays)?;
            dropped += strays.len();
        }
        if dropped > 0 {
            let name = table::entry(*kind).name;
            let sentence = format!(
                "{}: {dropped} rows ({name}) that belong to nothing were dropped",
                one.path
            );
            one.check.dropped(sentence)?;
        }
    }
    Ok(())
}
