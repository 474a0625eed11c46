//! Erasure: how an account is deleted for good, what is told of it, and how a deletion that was cut
//! off is finished.
//!
//! The steps, each durable before the next: the trail of administration says that it begins; the
//! key file is overwritten and removed, and from then on nobody can open the account; the row of the
//! directory goes, in one commit with the dooming of all its rows; the rows are purged. A start
//! after a cut between them finishes what the trail says was begun, once the key file is gone or
//! does not read; before that the account is as it was.
//!
//! The certificate of erasure is a text that the host signs, and whose hash stands in the trail of
//! administration:
//!
//! ```text
//! sealdav certificate of erasure 1
//! account ID
//! name NAME                          if it was asked for
//! erased MILLIS DATE
//! key-file destroyed: N slots
//! rows purged N MILLIS               or: rows queued N
//! key-backup UNTIL PLACE             for each that may hold the key file; UNTIL is - without an end
//! signed PUBLIC SIGNATURE            Ed25519 by the host, over all lines before
//! ```

use std::time::{Duration, SystemTime};

use super::Vault;
use super::audit::{Action, Happening};
use super::directory::CreateError;
use super::rows::{RosterRow, RosterState};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, CollectionId, SlotId};
use crate::limits;
use crate::seal::{Kind, RowPrefix, verified};
use crate::store::{Batch, StoreError};

const FIRST_LINE: &str = "sealdav certificate of erasure 1";

/// A backup of key files that may still hold that of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBackup {
    /// Where it is, as a person finds it; one line.
    pub place: String,
    /// When it is deleted; none if it has no end.
    pub until: Option<UnixMillis>,
}

/// What was destroyed with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Which.
    pub account: AccountId,
    /// When its key file was gone.
    pub when: UnixMillis,
    /// Key slots that were in it.
    pub slots: usize,
    /// Rows that were purged.
    pub purged: u64,
    /// Rows, as far as counted, that still wait for it: nobody can open them.
    pub queued: u64,
    /// Backups that may still hold the key file.
    pub backups: Vec<KeyBackup>,
}

/// What is to be said of a certificate of erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateCheck {
    /// It is this server's, as it was written, and the account is gone.
    Holds(AccountId),
    /// Why not; a sentence.
    Wrong(&'static str),
}

impl Vault {
    /// Deletes an account for good: its key file first, which makes all its rows unreadable, then
    /// its name, then its rows, as far as that takes `limits::ERASE_PURGE_SECONDS`; the others
    /// later. Durable when it returns.
    ///
    /// # Errors
    /// The key file or the store fails. Once the key file is gone, the next start goes on.
    pub fn delete_account(&self, id: AccountId) -> Result<Erasure, CreateError> {
        let one = self.administration.lock();
        self.administered(Action::DeleteUser, id, SlotId::NONE)?;
        let slots = self.key_file(id).map_or(0, |file| file.slots.len());
        self.destroy_slots(id).map_err(CreateError::KeyFile)?;
        // While the account is still listed: when this fails, the deletion is to be done again.
        self.note_erased(id).map_err(CreateError::Erased)?;
        let when = self.ambient.now();
        let doomed = self.doom_account(id)?;
        drop(one);
        let (purged, queued) = self.purge_account(&doomed)?;
        Ok(Erasure {
            account: id,
            when,
            slots,
            purged,
            queued,
            // Known above, where backups are made.
            backups: Vec::new(),
        })
    }

    /// Removes an account without keys from the directory, and dooms its rows.
    fn doom_account(&self, id: AccountId) -> Result<Vec<RosterRow>, StoreError> {
        // After the slots are gone, so that nobody unlocks it again; and what its last writer
        // enqueued must be applied before the roster is read.
        self.lock(id);
        self.store.barrier().wait()?;
        let mut batch = Batch::new();
        batch.delete(self.host_names.row(Kind::Directory, id.bytes(), 0, 0));
        let mut doomed = Vec::new();
        for (_, row) in self.roster()? {
            if row.account == id {
                let row = RosterRow {
                    state: RosterState::Doomed,
                    ..row
                };
                self.put_roster(&mut batch, &row);
                doomed.push(row);
            }
        }
        // An account from before there was an audit trail has it on no roster.
        let rows = RosterRow {
            account: id,
            collection: CollectionId::from_bytes(*id.bytes()),
            state: RosterState::Doomed,
            prefixes: self.chain(id).prefixes().to_vec(),
        };
        self.put_roster(&mut batch, &rows);
        doomed.push(rows);
        self.store.commit(batch).wait()?;
        self.accounts.write().remove(&id);
        self.audit.forget(id);
        self.trashed.lock().retain(|row| row.account != id);
        self.purges.lock().extend(doomed.iter().cloned());
        Ok(doomed)
    }

    /// Purges the rows of a deleted account for a while: how many went, and how many are left.
    fn purge_account(&self, doomed: &[RosterRow]) -> Result<(u64, u64), StoreError> {
        let count = || -> Result<u64, StoreError> {
            let prefixes = doomed.iter().flat_map(|row| &row.prefixes);
            let mut seen = std::collections::HashSet::new();
            let mut rows = 0;
            for prefix in prefixes.filter(|prefix| seen.insert(**prefix)) {
                for name in self.store.names(&RowPrefix::read(*prefix)) {
                    name?;
                    rows += 1;
                }
            }
            Ok(rows)
        };
        let all = count()?;
        let until = self.ambient.now().seconds() + limits::ERASE_PURGE_SECONDS;
        for row in doomed {
            while self.purges.lock().contains(row) {
                if self.ambient.now().seconds() >= until {
                    let left = count()?;
                    return Ok((all.saturating_sub(left), left));
                }
                self.purge_some(row)?;
            }
        }
        Ok((all, 0))
    }

    /// At the start: finishes the deletion of accounts whose key file is gone, or does not read,
    /// and of which the trail of administration says that their deletion was begun.
    pub(super) fn finish_deletions(&self) -> Result<(), StoreError> {
        let all: Vec<_> = self.accounts.read().keys().copied().collect();
        for id in all {
            if self.key_file(id).is_some() || !self.deletion_begun(id)? {
                continue;
            }
            let _one = self.administration.lock();
            if let Err(error) = self.destroy_slots(id) {
                tracing::error!(account = %id, %error, "what is left of a deleted account's key file cannot be removed");
                continue;
            }
            if let Err(error) = self.note_erased(id) {
                tracing::error!(account = %id, %error, "a deleted account cannot be put on the list of erased ones");
                continue;
            }
            self.doom_account(id)?;
            tracing::warn!(account = %id, "the deletion of an account had been cut off; it is finished");
        }
        Ok(())
    }

    /// Writes and signs the certificate of an erasure, and its hash into the trail of
    /// administration. With `name` it tells whose account it was.
    ///
    /// # Errors
    /// The store's.
    pub fn certify(&self, erased: &Erasure, name: Option<&str>) -> Result<String, StoreError> {
        let mut text = format!("{FIRST_LINE}\naccount {}\n", erased.account);
        if let Some(name) = name {
            text += &format!("name {name}\n");
        }
        text += &format!("erased {} {}\n", erased.when.0, date(erased.when));
        text += &format!("key-file destroyed: {} slots\n", erased.slots);
        text += &match erased.queued {
            0 => {
                let now = self.ambient.now();
                format!("rows purged {} {} {}\n", erased.purged, now.0, date(now))
            }
            queued => format!("rows purged {}, queued {queued}\n", erased.purged),
        };
        for backup in &erased.backups {
            let until = backup.until.map_or("-".to_owned(), date);
            let place: String = backup
                .place
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            text += &format!("key-backup {until} {place}\n");
        }
        let signer = self.host.signer();
        let signature = super::audit::hex(&signer.sign(text.as_bytes()));
        let public = super::audit::hex(&signer.public());
        text += &format!("signed {public} {signature}\n");
        self.tell_administration(Happening::to(Action::Erase, erased.account, hash(&text)))?;
        Ok(text)
    }

    /// Checks a certificate of erasure: signature, hash in the trail of administration, and that
    /// the account is gone.
    ///
    /// # Errors
    /// The store's.
    pub fn check_certificate(&self, text: &str) -> Result<CertificateCheck, StoreError> {
        let Some((account, signed)) = parse(text) else {
            return Ok(CertificateCheck::Wrong(
                "this is no certificate of erasure, or it was edited: its signature does not hold",
            ));
        };
        let told = self.was_certified(account, hash(text))?;
        // The trail vouches for it when the host key was replaced since.
        if !told && signed != self.host.signer().public() {
            return Ok(CertificateCheck::Wrong(
                "another server signed it, and the trail of administration does not know it",
            ));
        }
        if !told {
            return Ok(CertificateCheck::Wrong(
                "this server signed it, and the trail of administration does not know it (any more)",
            ));
        }
        if self.account(account).is_some() || matches!(self.key_files.read(account), Ok(Some(_))) {
            return Ok(CertificateCheck::Wrong(
                "the account, or its key file, is there again: it was restored from a backup",
            ));
        }
        Ok(CertificateCheck::Holds(account))
    }
}

/// What the trail keeps of a certificate: 128 bits of its BLAKE3 hash, in place of a slot.
fn hash(text: &str) -> SlotId {
    let hash = *blake3::hash(text.as_bytes()).as_bytes();
    SlotId::from_bytes(hash[..16].try_into().expect("16 bytes"))
}

fn date(moment: UnixMillis) -> String {
    let since = Duration::from_millis(u64::try_from(moment.0).unwrap_or(0));
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since)
}

/// The account of a certificate whose signature holds, and whose signature it is.
fn parse(text: &str) -> Option<(AccountId, [u8; 32])> {
    let (signed, signature) = text.split_at(text.rfind("signed ")?);
    let mut words = signature.strip_suffix('\n')?.split(' ').skip(1);
    let public = super::audit::unhex::<32>(words.next()?)?;
    let signature = super::audit::unhex::<64>(words.next()?)?;
    if words.next().is_some() || !verified(&public, signed.as_bytes(), &signature) {
        return None;
    }
    let mut lines = signed.lines();
    (lines.next()? == FIRST_LINE).then_some(())?;
    let account = AccountId::from_hex(lines.next()?.strip_prefix("account ")?)?;
    Some((account, public))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::seal::Generated;
    use crate::vault::testing::TestVault;
    use crate::vault::tests::{calendar, event, put};
    use crate::vault::{VaultError, VerifyEvent};

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to.join(entry.file_name())),
                false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            }
        }
    }

    fn scene() -> (TestVault, AccountId, Generated) {
        let vault = TestVault::new();
        vault.add("bob");
        let secret = vault.add("alice");
        let account = vault.unlock("alice", &secret);
        put(&account, event(calendar(&account), "a", "a", "x"));
        account.barrier().wait().unwrap();
        let id = account.id();
        vault.vault.mirror_audit().unwrap();
        drop(account);
        (vault, id, secret)
    }

    /// Nothing is left of the account, and nothing else is wrong.
    fn erased(vault: &TestVault, id: AccountId) {
        assert!(vault.vault.account(id).is_none() && vault.vault.account_named("alice").is_none());
        while vault.vault.purge_step().unwrap() {}
        let roster = vault.vault.roster().unwrap();
        assert!(roster.iter().all(|(_, row)| row.account != id));
        let keys = vault.directory.path().join("keys");
        assert_eq!(fs::read_dir(keys).unwrap().count(), 1, "bob's alone");
        let told = vault.vault.verify_store(&mut |event| {
            assert!(!matches!(event, VerifyEvent::Fault(_)), "{event:?}");
            Ok(())
        });
        assert_eq!(told.unwrap().faults, 0);
    }

    #[test]
    fn a_deletion_that_was_cut_off_is_finished_at_the_next_start() {
        // Each way in which the steps before the directory row can be cut off.
        type Cut = fn(&Vault, AccountId, &Path);
        let cuts: [Cut; 4] = [
            |vault, id, _| vault.destroy_slots(id).unwrap(),
            |_, _, file| fs::write(file, vec![0; fs::read(file).unwrap().len()]).unwrap(),
            |_, _, file| fs::write(file, b"").unwrap(),
            |vault, id, _| {
                vault.destroy_slots(id).unwrap();
                vault.doom_account(id).unwrap();
            },
        ];
        for cut in cuts {
            let (vault, id, _) = scene();
            let file = vault.directory.path().join(format!("keys/{id}.keys"));
            let begun = vault
                .vault
                .administered(Action::DeleteUser, id, SlotId::NONE);
            begun.unwrap();
            cut(&vault.vault, id, &file);
            let vault = vault.restart();
            erased(&vault, id);
            erased(&vault.restart(), id);
        }
    }

    #[test]
    fn what_was_not_begun_or_not_reached_is_not_finished() {
        let (vault, id, secret) = scene();
        // Begun, and cut off before the key file: it is whole, and stays.
        let begun = vault
            .vault
            .administered(Action::DeleteUser, id, SlotId::NONE);
        begun.unwrap();
        let vault = vault.restart();
        vault.unlock("alice", &secret);
        // Its key was changed after that, so the deletion was given up.
        vault.add_limited("alice", &secret, &[]);
        let file = vault.directory.path().join(format!("keys/{id}.keys"));
        let kept = fs::read(&file).unwrap();
        let vault = vault.restart_after(|| fs::remove_file(&file).unwrap());
        assert!(
            vault.vault.account(id).is_some(),
            "a lost key file is not a deletion"
        );
        let vault = vault.restart_after(|| fs::write(&file, kept).unwrap());
        vault.unlock("alice", &secret);
    }

    #[test]
    fn the_database_of_before_does_not_open_without_its_key_file() {
        let (vault, id, secret) = scene();
        let (content, slot) = vault.key("alice", &secret);
        let db = vault.directory.path().join("db");
        let kept = tempfile::tempdir().unwrap();
        let vault = vault.restart_after(|| copy(&db, kept.path()));
        vault.vault.delete_account(id).unwrap();
        erased(&vault, id);
        vault.vault.mirror_audit().unwrap();
        let vault = vault.restart_after(|| {
            fs::remove_dir_all(&db).unwrap();
            copy(kept.path(), &db);
        });
        assert!(
            vault.vault.account_named("alice").is_some(),
            "its name is back"
        );
        assert!(vault.vault.key_file(id).is_none());
        let opened = vault.vault.unlock(id, content, slot);
        assert!(matches!(opened, Err(VaultError::Missing)));
        let findings = vault.vault.audit_findings();
        assert!(!findings.is_empty(), "that data was put back is told");
    }

    #[test]
    fn a_certificate_of_erasure_is_checked() {
        let (vault, id, _) = scene();
        let mut told = vault.vault.delete_account(id).unwrap();
        assert_eq!((told.slots, told.queued), (2, 0));
        assert!(told.purged > 10, "{told:?}");
        told.backups.push(KeyBackup {
            place: "usb stick\nsigned".into(),
            until: Some(UnixMillis(0)),
        });
        let text = vault.vault.certify(&told, None).unwrap();
        assert!(
            !text.contains("alice") && text.contains("destroyed: 2 slots"),
            "{text}"
        );
        assert!(text.contains("key-backup Thu, 01 Jan 1970 00:00:00 GMT usb stick signed\n"));
        let named = vault.vault.certify(&told, Some("alice")).unwrap();
        assert!(named.contains("\nname alice\n"));
        let check = |vault: &TestVault, text: &str| vault.vault.check_certificate(text).unwrap();
        let holds = CertificateCheck::Holds(id);
        assert_eq!(
            (check(&vault, &text), check(&vault, &named)),
            (holds.clone(), holds.clone())
        );
        for edited in [
            text.replace("2 slots", "3 slots"),
            text.replace("account ", "account 0"),
            text.replace("usb", "tape"),
            text.clone() + "\n",
            String::new(),
        ] {
            assert!(
                matches!(check(&vault, &edited), CertificateCheck::Wrong(_)),
                "{edited}"
            );
        }
        let (other, _, _) = scene();
        assert!(matches!(check(&other, &text), CertificateCheck::Wrong(_)));
        // It survives a start; and a key file that comes back is told.
        let vault = vault.restart();
        assert_eq!(check(&vault, &text), holds);
        let directory = vault.directory.path().join("keys");
        let bobs = fs::read_dir(&directory)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        fs::copy(bobs, directory.join(format!("{id}.keys"))).unwrap();
        assert!(matches!(check(&vault, &text), CertificateCheck::Wrong(_)));
    }
}
