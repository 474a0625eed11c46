//! Old pages go, a day at a time: the chain then starts at a later page, where the host signed
//! that it does.

use super::Chain;
use super::page::{day_of, hour_of};
use crate::limits;
use crate::store::{Batch, StoreError};
use crate::vault::Vault;

impl Vault {
    /// Removes the closed pages of days that are more than `days` days ago.
    ///
    /// # Errors
    /// The store's; what was not cut is cut the next time.
    pub fn cut_audit(&self, days: u32) -> Result<(), StoreError> {
        let today = day_of(hour_of(self.ambient.now()));
        let keep = today - i64::from(days);
        let _one = self.audit.cutting.lock();
        let chains: Vec<_> = self.audit.chains.read().values().cloned().collect();
        for chain in chains {
            while self.cut_step(&chain, keep)? {}
        }
        Ok(())
    }

    /// Cuts some pages of one chain; false when it is done.
    fn cut_step(&self, chain: &Chain, keep: i64) -> Result<bool, StoreError> {
        let mut writing = self.audit.writing(chain);
        let (Some(root), Some(open)) = (writing.state.root(), writing.state.open()) else {
            return Ok(false);
        };
        let (start, end) = (root.first, open.number);
        let known = *chain.oldest.lock();
        if start == end || known.is_some_and(|(first, day)| first == start && day >= keep) {
            return Ok(false);
        }
        let end = end.min(start + limits::AUDIT_CUT_PAGES);
        let mut first = start;
        for number in start..end {
            let name = chain.rows.page(number);
            let stored = self.store.get(&name)?;
            // One that is lost or damaged is as old as its neighbours.
            let Some(row) = stored.and_then(|stored| self.open_page(&name, stored)) else {
                continue;
            };
            if day_of(row.hour) >= keep {
                *chain.oldest.lock() = Some((first, day_of(row.hour)));
                break;
            }
            first = number + 1;
        }
        if first == start {
            return Ok(false);
        }
        let previous = match first == open.number {
            true => Some(open.previous),
            false => {
                let name = chain.rows.page(first);
                let stored = self.store.get(&name)?;
                let row = stored.clone();
                let row = row.and_then(|stored| self.open_page(&name, stored));
                row.map(|row| row.previous)
            }
        };
        // Nobody can sign for a chain that starts at a damaged page.
        let Some(previous) = previous else {
            return Ok(false);
        };
        let mut batch = Batch::new();
        for number in start..first {
            batch.delete(chain.rows.page(number));
        }
        writing
            .state
            .cut(self, &chain.rows, &mut batch, first, previous);
        let receipt = self.store.commit(batch);
        drop(writing);
        receipt.wait()?;
        Ok(first == end)
    }
}
