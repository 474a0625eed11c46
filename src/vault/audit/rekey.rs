//! The trail under a new host key: every page is sealed anew, and so holds another hash of the
//! page before it. Heads that were exported before can be compared no more; the page that tells of
//! the new key says when that was.

use super::chain::ChainState;
use super::mirror::Line;
use super::page::{ChainRows, PageRow, RootRow};
use super::{Action, MirrorError};
use crate::ids::{AccountId, CollectionId, SlotId};
use crate::seal::{HostKey, Kind, RowKey, RowName, Sealed};
use crate::store::{Batch, StoreError};
use crate::vault::Vault;
use crate::vault::rows::encode;
use crate::vault::tree::scanned_place;

/// The trail of all accounts, sealed anew.
#[derive(Default)]
pub(in crate::vault) struct RekeyedAudit {
    lines: Vec<Line>,
    /// Rows sealed anew.
    pub rows: usize,
    /// Rows that do not open; they stay as they are.
    pub damaged: usize,
}

impl Vault {
    /// Writes that the host key is about to be changed, then seals the trail anew into `batch`.
    pub(in crate::vault) fn rekeyed_audit(
        &self,
        batch: &mut Batch,
        new: &HostKey,
    ) -> Result<RekeyedAudit, StoreError> {
        self.administered(Action::ChangeHostKey, AccountId::NONE, SlotId::NONE)?;
        let mut done = RekeyedAudit::default();
        let mut ids: Vec<_> = self.accounts().iter().map(|account| account.id).collect();
        ids.push(AccountId::NONE);
        for id in ids {
            let rows = ChainRows::new(id, &self.host_names);
            self.rekey_chain(&rows, batch, new, &mut done)?;
            self.rekey_scanned(Kind::Device, &rows, batch, &new.rows(), &mut done)?;
        }
        Ok(done)
    }

    /// After the batch is durable.
    pub(in crate::vault) fn audit_is_rekeyed(
        &self,
        done: RekeyedAudit,
        new: &HostKey,
    ) -> Result<(), MirrorError> {
        self.rekey_mirror(done.lines, new)
    }

    fn rekey_chain(
        &self,
        rows: &ChainRows,
        batch: &mut Batch,
        new: &HostKey,
        done: &mut RekeyedAudit,
    ) -> Result<(), StoreError> {
        let key = new.rows();
        let state = ChainState::load(self, rows)?;
        let Some(root) = state.root() else {
            return Ok(());
        };
        let (mut number, mut previous) = (root.first, root.previous);
        let signed = RootRow::signed(rows.account, root.public, root.first, root.previous, new);
        let name = rows.root();
        batch.put(
            name,
            self.seal_under(&key, Kind::AuditRoot, &name, &encode(&signed)),
        );
        let page = |row: PageRow, name: &RowName, previous| {
            let row = PageRow { previous, ..row };
            self.seal_under(&key, Kind::AuditPage, name, &encode(&row))
        };
        while let Some(stored) = self.store.get(&rows.page(number))? {
            let name = rows.page(number);
            previous = match self.open_page(&name, stored.clone()) {
                Some(row) => {
                    let sealed = page(row, &name, previous);
                    let hash = *blake3::hash(sealed.bytes()).as_bytes();
                    batch.put(name, sealed);
                    done.rows += 1;
                    hash
                }
                None => {
                    done.damaged += 1;
                    *blake3::hash(stored.bytes()).as_bytes()
                }
            };
            number += 1;
        }
        if let Some(row) = state.open() {
            let name = rows.open_page();
            batch.put(name, page(row.clone(), &name, previous));
            done.rows += 1;
            done.lines.push(Line {
                account: rows.account,
                page: row.number,
                changes: row.changes,
                heads: row.heads,
                previous,
            });
        }
        Ok(())
    }

    fn rekey_scanned(
        &self,
        kind: Kind,
        rows: &ChainRows,
        batch: &mut Batch,
        key: &RowKey,
        done: &mut RekeyedAudit,
    ) -> Result<(), StoreError> {
        for row in self.store.scan(&rows.names.prefix(kind)) {
            let (name, stored) = row?;
            let place = scanned_place(kind, AccountId::NONE, CollectionId::NONE, &name);
            match stored.open(&self.host_rows, &place) {
                Ok(content) => {
                    batch.put(name, self.seal_under(key, kind, &name, &content));
                    done.rows += 1;
                }
                Err(_) => done.damaged += 1,
            }
        }
        Ok(())
    }

    /// Seals a row of the host that scans find under a host key that is not this vault's.
    pub(in crate::vault) fn seal_under(
        &self,
        key: &RowKey,
        kind: Kind,
        name: &RowName,
        content: &[u8],
    ) -> Sealed {
        let place = scanned_place(kind, AccountId::NONE, CollectionId::NONE, name);
        key.seal_by(&place, content, &self.ambient)
    }
}
