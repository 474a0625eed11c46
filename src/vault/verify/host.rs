//! What is checked without anybody's secret.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;

use super::table::{By, entry};
use super::{At, Check, Step};
use crate::ids::{AccountId, CollectionId};
use crate::limits;
use crate::seal::{Kind, OuterSeal, RowPrefix};
use crate::store::StoreError;
use crate::vault::audit::ChainRows;
use crate::vault::grant::GrantRow;
use crate::vault::host_check as mark;
use crate::vault::rows::{DirectoryRow, RosterState, decode};
use crate::vault::tree::{prefix_bytes, scanned_place};
use crate::vault::{KeyFile, Vault};

/// Checks everything.
pub(super) fn check(check: &mut Check<'_>) -> Step {
    check.totals.accounts = check.vault.accounts().len() as u64;
    database(check)?;
    witness(check)?;
    for kind in Kind::ALL {
        if let By::Host(of_kind) = entry(*kind).by {
            of_kind(check)?;
        }
    }
    Ok(())
}

/// Reads every row of the database, and counts those that belong to nothing.
fn database(check: &mut Check<'_>) -> Step {
    let vault = check.vault;
    let known = known_prefixes(vault)?;
    let mut unknown: BTreeMap<[u8; 16], u64> = BTreeMap::new();
    for row in vault.store.all() {
        match row {
            Ok((name, bytes)) => {
                let prefix = name.bytes()[..16].try_into().expect("36 bytes");
                if !known.contains(&prefix) && unknown.len() < limits::VERIFY_PREFIXES {
                    *unknown.entry(prefix).or_default() += 1;
                }
                check.read(bytes)?;
            }
            Err(StoreError::Failed) => return Err(StoreError::Failed.into()),
            Err(error) => {
                let said = (
                    "rows behind this place in the file cannot be reached; others are served",
                    "stop the server, copy the data directory as it is, and restore a backup",
                );
                check.tell("database", At::default(), &error.to_string(), said)?;
                break;
            }
        }
    }
    // What came while they were read is known by now, and what was purged is gone.
    let known = known_prefixes(vault)?;
    unknown.retain(|prefix, _| !known.contains(prefix));
    let mut rows = 0;
    let mut prefixes = 0_usize;
    for (prefix, count) in unknown {
        if vault.store.names(&RowPrefix::read(prefix)).next().is_some() {
            rows += count;
            prefixes += 1;
        }
    }
    if rows > 0 {
        let what =
            format!("{rows} rows in {prefixes} groups belong to no account and no collection");
        let said = (
            "they take room and are not served; if a roster row is damaged too, they may be those of a collection that is served",
            "see the findings about the roster first; otherwise nothing, or ask where they come from: somebody wrote to the database",
        );
        check.tell("orphaned rows", At::default(), &what, said)?;
    }
    Ok(())
}

/// The prefixes of all rows that something explains.
fn known_prefixes(vault: &Vault) -> Result<HashSet<[u8; 16]>, StoreError> {
    let names = &vault.host_names;
    let mut known: HashSet<_> = [
        vault.host.names().prefix(Kind::HostCheck),
        names.prefix(Kind::Directory),
        names.prefix(Kind::Roster),
    ]
    .map(prefix_bytes)
    .into();
    let mut accounts: BTreeSet<_> = vault.accounts().iter().map(|record| record.id).collect();
    accounts.insert(AccountId::NONE);
    for (_, row) in vault.roster()? {
        accounts.insert(row.account);
        known.extend(row.prefixes);
    }
    for account in accounts {
        known.insert(prefix_bytes(vault.grant_prefix(account)));
        known.extend(ChainRows::new(account, names).prefixes());
    }
    Ok(known)
}

fn witness(check: &mut Check<'_>) -> Step {
    // In this order: the witness lags behind, and never leads.
    let witnessed = check.vault.store.witnessed();
    // What was being written when it was read.
    check.vault.store.barrier().wait()?;
    let group = check.vault.store.group();
    let what = match witnessed {
        Ok(Some(number)) if number > group => "the database is older than its witness".to_owned(),
        Ok(Some(_)) => return Ok(()),
        Ok(None) => "the file 'witness' is missing".to_owned(),
        Err(error) => error.to_string(),
    };
    let said = (
        "whether the database lost its last changes cannot be said at the next start",
        "find out who wrote to the disk, and restore a backup if changes are missing",
    );
    check.tell("witness", At::default(), &what, said)
}

/// The row that tells the right host key.
pub(super) fn host_check(check: &mut Check<'_>) -> Step {
    let vault = check.vault;
    match mark::holds(&vault.store, &vault.host, &vault.host_names)? {
        true => Ok(()),
        false => {
            let what = "the row is missing, damaged, or names another key";
            check.fault(Kind::HostCheck, At::default(), what)
        }
    }
}

/// The directory of accounts.
pub(super) fn directory(check: &mut Check<'_>) -> Step {
    let vault = check.vault;
    let mut found = HashSet::new();
    for row in vault.store.scan(&vault.host_names.prefix(Kind::Directory)) {
        let (name, stored) = row?;
        let place = scanned_place(Kind::Directory, AccountId::NONE, CollectionId::NONE, &name);
        let content = stored.open(&vault.host_rows, &place).ok();
        let row = content.and_then(|content| decode::<DirectoryRow>(&content));
        let own = |row: &DirectoryRow| vault.host_names.row(Kind::Directory, row.id.bytes(), 0, 0);
        match row.filter(|row| own(row) == name) {
            Some(row) => drop(found.insert(row.id)),
            None => {
                let at = At {
                    row: Some(&name),
                    ..At::default()
                };
                check.fault(Kind::Directory, at, "the row does not open")?;
            }
        }
    }
    let mut lost = Vec::new();
    {
        // Whoever makes or deletes an account is done.
        let _one = vault.administration.lock();
        for record in vault.accounts() {
            let name = vault
                .host_names
                .row(Kind::Directory, record.id.bytes(), 0, 0);
            if !found.contains(&record.id) && vault.store.get(&name)?.is_none() {
                lost.push(record.id);
            }
        }
    }
    for id in lost {
        let at = At {
            account: Some(id),
            ..At::default()
        };
        check.fault(Kind::Directory, at, "the row was removed from the database")?;
    }
    Ok(())
}

/// Key files and their slots, and that each account has one and each one an account.
pub(super) fn key_files(check: &mut Check<'_>) -> Step {
    let vault = check.vault;
    let listed = vault.key_files.accounts();
    let mut ids: BTreeSet<_> = match listed {
        Ok(listed) => listed.into_iter().collect(),
        Err(error) => {
            let what = format!("the directory of key files cannot be read: {error}");
            check.fault(Kind::Slot, At::default(), &what)?;
            BTreeSet::new()
        }
    };
    ids.extend(vault.accounts().iter().map(|record| record.id));
    for id in ids {
        let faults = {
            let _one = vault.administration.lock();
            key_file(vault, id)?
        };
        for (kind, what) in faults {
            let at = At {
                account: Some(id),
                ..At::default()
            };
            check.fault(kind, at, &what)?;
        }
    }
    Ok(())
}

/// What is wrong with one key file, while nobody changes it.
fn key_file(vault: &Vault, id: AccountId) -> Result<Vec<(Kind, String)>, StoreError> {
    let one = |what: &str| Ok(vec![(Kind::Slot, what.to_owned())]);
    let file = match vault.key_files.read(id) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return one("the file is damaged, or of a newer version");
        }
        Err(error) => return one(&format!("the file cannot be read: {error}")),
    };
    match (vault.account(id), file) {
        (None, None) => Ok(Vec::new()),
        (None, Some(_)) => one(
            "there is a file and no account: its making was cut off, or its row of the directory is gone",
        ),
        (Some(_), None) => one("the account has no key file"),
        (Some(_), Some(file)) => Ok(slots(vault, id, &file)),
    }
}

fn slots(vault: &Vault, id: AccountId, file: &KeyFile) -> Vec<(Kind, String)> {
    let mut faults = Vec::new();
    let known = vault.key_file(id);
    if known.is_some_and(|known| !known.is(file)) {
        let what = "the file is not the one that the server read or wrote last: it was put back or exchanged";
        faults.push((Kind::Slot, what.to_owned()));
    }
    if file.slots.is_empty() {
        faults.push((Kind::Slot, "the file has no slots".to_owned()));
    }
    for slot in &file.slots {
        if slot.outer_seal(id, &vault.host) == OuterSeal::Damaged {
            let what = format!(
                "slot {} does not open with the host key: damaged, or of another account",
                slot.id
            );
            faults.push((Kind::Slot, what));
        }
        if slot.about(id, &vault.host).is_err() {
            let what = format!("the label of slot {} does not open", slot.id);
            faults.push((Kind::SlotAbout, what));
        }
    }
    faults
}

/// The roster: its rows open, and are of accounts that are there, or doomed.
pub(super) fn roster(check: &mut Check<'_>) -> Step {
    let vault = check.vault;
    for row in vault.store.scan(&vault.host_names.prefix(Kind::Roster)) {
        let (name, stored) = row?;
        let open = |stored: crate::seal::Stored| {
            let place = scanned_place(Kind::Roster, AccountId::NONE, CollectionId::NONE, &name);
            let content = stored.open(&vault.host_rows, &place).ok();
            let row = decode::<crate::vault::rows::RosterRow>(&content?);
            row.filter(|row| vault.roster_name(row.account, row.collection) == name)
        };
        if open(stored).is_none() {
            let at = At {
                row: Some(&name),
                ..At::default()
            };
            check.fault(Kind::Roster, at, "the row does not open")?;
        }
    }
    let mut gone = BTreeSet::new();
    {
        let _one = vault.administration.lock();
        for (_, row) in vault.roster()? {
            if row.state != RosterState::Doomed && vault.account(row.account).is_none() {
                gone.insert(row.account);
            }
        }
    }
    for id in gone {
        let at = At {
            account: Some(id),
            ..At::default()
        };
        let said = (
            "unless a row of the directory is damaged, the next start removes them for good",
            "if this account should be there, do not start the server: restore the data from a backup",
        );
        let what = "there are rows of an account that is not in the directory: its making was cut off, or its row was removed";
        check.tell("roster row", at, what, said)?;
    }
    Ok(())
}

/// The outer seals of granted calendars.
pub(super) fn grants(check: &mut Check<'_>) -> Step {
    let vault = check.vault;
    for record in vault.accounts() {
        for row in vault.store.scan(&vault.grant_prefix(record.id)) {
            let (name, stored) = row?;
            let place = scanned_place(Kind::Grant, AccountId::NONE, CollectionId::NONE, &name);
            let content = stored.open(&vault.host_rows, &place).ok();
            let row = content.and_then(|content| decode::<GrantRow>(&content));
            let own = |row: &GrantRow| vault.grant_name(record.id, row.slot, row.collection);
            if row.is_none_or(|row| own(&row) != name) {
                let at = At {
                    account: Some(record.id),
                    row: Some(&name),
                    ..At::default()
                };
                check.fault(Kind::Grant, at, "the row does not open")?;
            }
        }
    }
    Ok(())
}

/// What is remembered of devices.
pub(super) fn devices(check: &mut Check<'_>) -> Step {
    for record in check.vault.accounts() {
        for name in check.vault.damaged_devices(record.id)? {
            let at = At {
                account: Some(record.id),
                row: Some(&name),
                ..At::default()
            };
            check.fault(Kind::Device, at, "the row does not open")?;
        }
    }
    Ok(())
}

/// The audit trail, its mirror, and what was noticed since the start.
pub(super) fn audit(check: &mut Check<'_>) -> Step {
    for finding in check.vault.verify_audit()?.findings {
        let at = At {
            account: Some(finding.account).filter(|account| *account != AccountId::NONE),
            ..At::default()
        };
        let what = match finding.page {
            Some(page) => format!("page {page}: {}", finding.what),
            None => finding.what,
        };
        check.fault(Kind::AuditRoot, at, &what)?;
    }
    Ok(())
}
