//! What is in one collection: properties, summaries and what they add up to, bodies, and rows that
//! belong to no object.

use std::collections::HashMap;
use std::sync::Arc;

use super::table::{self, By};
use super::{At, Check, Step};
use crate::limits;
use crate::seal::{Kind, RowName, Stored};
use crate::store::StoreError;
use crate::vault::Vault;
use crate::vault::chunks::chunks;
use crate::vault::model::{Etag, Properties, Summary, VaultError};
use crate::vault::rows::{HeadRow, HistoryRow, SummaryRow, decode, digest_add};
use crate::vault::tree::State;

/// A collection.
pub(super) struct CollectionWalk<'w, 'a> {
    pub check: &'w mut Check<'a>,
    pub state: Arc<State>,
    /// Its path below the home.
    pub path: String,
    /// The row that links it: once that is gone, so are the others.
    link: RowName,
    /// Whether a summary does not open: then it may explain rows that nothing else does.
    damaged: bool,
}

/// What the summaries add up to.
#[derive(Default)]
pub(super) struct Sum {
    pub objects: u64,
    pub digest: [u64; 4],
    /// Rows that do not open.
    pub damaged: Vec<RowName>,
}

/// The names of rows that objects explain: how many chunks, by the part that tells object and
/// revision. About 30 bytes for an object.
type Explained = HashMap<[u8; 16], u32>;

impl<'w, 'a> CollectionWalk<'w, 'a> {
    pub fn new(check: &'w mut Check<'a>, state: Arc<State>, path: String, link: RowName) -> Self {
        CollectionWalk {
            check,
            state,
            path,
            link,
            damaged: false,
        }
    }

    pub fn vault(&self) -> &'a Vault {
        self.check.vault
    }

    fn fault(
        &mut self,
        kind: Kind,
        object: Option<&str>,
        row: Option<&RowName>,
        what: &str,
    ) -> Step {
        if self.is_gone()? {
            return Ok(());
        }
        let at = At {
            account: Some(self.state.account),
            collection: Some(&self.path),
            object,
            row,
        };
        self.check.fault(kind, at, what)
    }

    /// Whether it was deleted meanwhile: then its rows are purged.
    fn is_gone(&self) -> Result<bool, StoreError> {
        Ok(self.vault().store.get(&self.link)?.is_none())
    }

    fn stored_head(&self) -> Result<Option<Stored>, StoreError> {
        self.vault().store.get(&self.state.head_name())
    }

    pub fn head(&self) -> Result<Option<HeadRow>, StoreError> {
        let name = self.state.head_name();
        let stored = self.stored_head()?;
        Ok(stored.and_then(|stored| self.state.open(Kind::Head, &name, &stored)))
    }

    /// The stored properties of the collection.
    pub fn properties(&mut self) -> Step {
        for _ in 0..limits::VERIFY_ATTEMPTS {
            let Some(head) = self.head()? else {
                return Ok(());
            };
            let Some(what) = self.damaged_properties(&head)? else {
                return Ok(());
            };
            // Others may have been set meanwhile.
            let now = self.head()?;
            if now.is_some_and(|now| now.properties_revision == head.properties_revision) {
                return self.fault(Kind::CollectionProperties, None, None, what);
            }
        }
        let path = &self.path;
        let sentence = format!("{path}: its properties change all the time and were not checked");
        self.check.unchecked(sentence)
    }

    /// What is wrong with the properties that a head names.
    pub fn damaged_properties(&mut self, head: &HeadRow) -> Step<Option<&'static str>> {
        if head.properties_revision == 0 {
            return Ok(None);
        }
        let read = self.vault().read_chunks(
            &self.state,
            Kind::CollectionProperties,
            None,
            self.state.current().number,
            head.properties_revision,
            head.properties_bytes,
        );
        self.content(read, |content| decode::<Properties>(content).is_some())
    }

    /// What is wrong with chunks that were read.
    fn content(
        &mut self,
        read: Result<Option<zeroize::Zeroizing<Vec<u8>>>, VaultError>,
        holds: impl FnOnce(&[u8]) -> bool,
    ) -> Step<Option<&'static str>> {
        match read {
            Ok(Some(content)) => {
                self.check.read(content.len())?;
                let wrong = Some("its rows open, and are not what they should be");
                Ok(wrong.filter(|_| !holds(&content)))
            }
            Ok(None) => Ok(Some("its rows are missing")),
            Err(VaultError::Store(error)) => Err(error.into()),
            Err(_) => Ok(Some("a row of it is missing, or does not open")),
        }
    }

    pub fn open_summary(&self, name: &RowName, stored: &Stored) -> Option<SummaryRow> {
        let row = self.state.open::<SummaryRow>(Kind::Summary, name, stored);
        let own = |row: &SummaryRow| self.state.names.row(Kind::Summary, row.id().bytes(), 0, 0);
        row.filter(|row| own(row) == *name)
    }

    /// Adds up all summaries, as they are read.
    pub fn add_up(&mut self) -> Step<Sum> {
        let mut sum = Sum::default();
        let vault = self.vault();
        for row in vault.store.scan(&self.state.names.prefix(Kind::Summary)) {
            let (name, stored) = row?;
            self.check.read(stored.bytes().len())?;
            let (id, revision) = match self.open_summary(&name, &stored) {
                Some(SummaryRow::Live(summary)) => {
                    sum.objects += 1;
                    (summary.id, summary.revision)
                }
                Some(SummaryRow::Gone(tombstone)) => (tombstone.id, tombstone.revision),
                None => {
                    sum.damaged.push(name);
                    continue;
                }
            };
            digest_add(&mut sum.digest, &self.state.etags.digest(id, revision));
        }
        Ok(sum)
    }

    /// Summaries and tombstones, what they add up to, and all that hangs on each.
    pub fn summaries(&mut self) -> Step {
        let (mut sum, mut still) = (Sum::default(), false);
        for _ in 0..limits::VERIFY_ATTEMPTS {
            let before = self.stored_head()?;
            sum = self.add_up()?;
            let after = self.stored_head()?;
            let bytes = |stored: Option<Stored>| stored.map(|stored| stored.bytes().to_vec());
            still = bytes(before) == bytes(after);
            if still {
                break;
            }
        }
        for name in &sum.damaged {
            let now = self.vault().store.get(name)?;
            if now.is_some_and(|now| self.open_summary(name, &now).is_none()) {
                self.damaged = true;
                self.fault(Kind::Summary, None, Some(name), "the row does not open")?;
            }
        }
        match self.head()? {
            Some(head) if still => self.compare(&sum, &head)?,
            Some(_) => {
                let path = &self.path;
                let sentence = format!(
                    "{path}: it changes all the time; whether its objects add up was not checked"
                );
                self.check.unchecked(sentence)?;
            }
            None => {}
        }
        self.objects()
    }

    fn compare(&mut self, sum: &Sum, head: &HeadRow) -> Step {
        let there = sum.objects + sum.damaged.len() as u64;
        if there < head.objects {
            let what = format!(
                "{} objects are lost: their rows were removed",
                head.objects - there
            );
            return self.fault(Kind::Summary, None, None, &what);
        }
        if sum.damaged.is_empty() && sum.digest != head.digest {
            let what = "the objects do not add up: some were lost, added, or put back from an older state; the collection is not served";
            return self.fault(Kind::Summary, None, None, what);
        }
        Ok(())
    }

    /// Opens every object.
    fn objects(&mut self) -> Step {
        let vault = self.vault();
        for row in vault.store.scan(&self.state.names.prefix(Kind::Summary)) {
            let (name, stored) = row?;
            let Some(SummaryRow::Live(summary)) = self.open_summary(&name, &stored) else {
                continue;
            };
            self.check.totals.objects += 1;
            for (kind, check) in table::of_objects() {
                self.object(kind, check, &name, summary.clone())?;
            }
        }
        Ok(())
    }

    /// Checks one kind of row of an object, anew when it changes meanwhile.
    fn object(
        &mut self,
        kind: Kind,
        check: table::ObjectCheck,
        name: &RowName,
        mut summary: Summary,
    ) -> Step {
        loop {
            let Some(what) = check(self, &summary)? else {
                return Ok(());
            };
            let now = self.vault().store.get(name)?;
            match now.and_then(|now| self.open_summary(name, &now)) {
                Some(SummaryRow::Live(now)) if now == summary => {
                    let segment = summary.segment.as_str().to_owned();
                    return self.fault(kind, Some(&segment), None, what);
                }
                Some(SummaryRow::Live(now)) => summary = now,
                // Deleted meanwhile, or damaged, which was told.
                _ => return Ok(()),
            }
        }
    }

    /// The body of an object, whose tag is computed anew.
    pub fn body(&mut self, summary: &Summary) -> Step<Option<&'static str>> {
        let state = self.state.clone();
        let revision = summary.body_revision;
        let read = self.vault().read_chunks(
            &state,
            Kind::Body,
            Some(summary.id),
            summary.epoch,
            revision,
            summary.size,
        );
        self.content(read, |body| {
            Etag(state.etags.etag(summary.id, revision, body)) == summary.etag
        })
    }

    /// The stored properties of an object.
    pub fn object_properties(&mut self, summary: &Summary) -> Step<Option<&'static str>> {
        if summary.properties_revision == 0 {
            return Ok(None);
        }
        let read = self.vault().read_chunks(
            &self.state,
            Kind::ObjectProperties,
            Some(summary.id),
            summary.epoch,
            summary.properties_revision,
            summary.properties_bytes,
        );
        self.content(read, |content| decode::<Properties>(content).is_some())
    }

    /// The past versions of objects, those of deleted ones too.
    pub fn histories(&mut self) -> Step {
        for (name, what) in self.damaged_histories()? {
            self.damaged = true;
            self.fault(Kind::History, None, Some(&name), what)?;
        }
        Ok(())
    }

    /// Histories that do not open, or of which a version does not.
    pub fn damaged_histories(&mut self) -> Step<Vec<(RowName, &'static str)>> {
        let vault = self.vault();
        let mut damaged = Vec::new();
        for row in vault.store.scan(&self.state.names.prefix(Kind::History)) {
            let (name, stored) = row?;
            self.check.read(stored.bytes().len())?;
            if name == self.state.annals_name() {
                if self.state.open_annals(&stored).is_none() {
                    damaged.push((name, "the row does not open"));
                }
                continue;
            }
            let what = match self.open_history(&name, &stored) {
                None => Some("the row does not open"),
                Some(row) => self.damaged_version(&row)?,
            };
            let Some(what) = what else { continue };
            // Cut or taken back meanwhile.
            let now = vault.store.get(&name)?;
            if now.is_some_and(|now| now.bytes() == stored.bytes()) {
                damaged.push((name, what));
            }
        }
        Ok(damaged)
    }

    fn open_history(&self, name: &RowName, stored: &Stored) -> Option<HistoryRow> {
        let row = self.state.open::<HistoryRow>(Kind::History, name, stored);
        row.filter(|row| self.state.history_name(row.id) == *name)
    }

    fn damaged_version(&mut self, row: &HistoryRow) -> Step<Option<&'static str>> {
        for kept in row.kept() {
            let read = self.vault().read_chunks(
                &self.state,
                kept.kind,
                Some(kept.object),
                kept.epoch,
                kept.revision,
                kept.bytes,
            );
            if self.content(read, |_| true)?.is_some() {
                return Ok(Some("a version that it lists does not open"));
            }
        }
        Ok(None)
    }

    /// Rows of kinds that hang on others, and that nothing explains: left over, or put back.
    pub fn strays(&mut self) -> Step {
        for kind in Kind::ALL {
            let hangs = matches!(table::entry(*kind).by, By::Object(_))
                || *kind == Kind::CollectionProperties;
            if !hangs || (self.damaged && *kind != Kind::CollectionProperties) {
                continue;
            }
            let strays = self.strays_of(*kind)?;
            if strays.is_empty() || self.is_gone()? {
                continue;
            }
            let at = At {
                account: Some(self.state.account),
                collection: Some(&self.path),
                object: None,
                row: strays.first(),
            };
            let what = format!("{} rows belong to nothing that is there", strays.len());
            let said = (
                "they are not served; they were left over, or put back from an older state, or what they belong to is damaged",
                "run the same command with --drop-damaged",
            );
            self.check.tell(table::entry(*kind).name, at, &what, said)?;
        }
        Ok(())
    }

    /// The rows of a kind that belong to nothing; at most `limits::VERIFY_STRAYS`.
    pub fn strays_of(&mut self, kind: Kind) -> Step<Vec<RowName>> {
        let vault = self.vault();
        let prefix = self.state.names.prefix(kind);
        let unexplained = |explained: &Explained, name: &RowName| {
            let (hash, chunk) = name.bytes()[16..].split_at(16);
            let chunk = u32::from_be_bytes(chunk.try_into().expect("4 bytes"));
            let chunks = explained.get::<[u8; 16]>(hash.try_into().expect("16 bytes"));
            chunks.is_none_or(|chunks| chunk >= *chunks)
        };
        let Some(explained) = self.explained(kind)? else {
            return Ok(Vec::new());
        };
        let mut strays = Vec::new();
        for name in vault.store.names(&prefix) {
            let name = name?;
            if unexplained(&explained, &name) {
                strays.push(name);
            }
            if strays.len() >= limits::VERIFY_STRAYS {
                break;
            }
        }
        if strays.is_empty() {
            return Ok(strays);
        }
        // Those that came meanwhile are explained by now, or gone again.
        drop(explained);
        let Some(explained) = self.explained(kind)? else {
            return Ok(Vec::new());
        };
        let mut left = Vec::new();
        for name in strays {
            if unexplained(&explained, &name) && vault.store.get(&name)?.is_some() {
                left.push(name);
            }
        }
        Ok(left)
    }

    /// What is there of a kind, as summaries and head tell; none when the head is damaged.
    fn explained(&self, kind: Kind) -> Result<Option<Explained>, StoreError> {
        let names = &self.state.names;
        let mut explained = Explained::new();
        let mut add = |object: &[u8; 16], revision, bytes| {
            if revision != 0 {
                let name = names.row(kind, object, revision, 0);
                let hash = name.bytes()[16..32].try_into().expect("16 bytes");
                explained.insert(hash, chunks(bytes));
            }
        };
        if kind == Kind::CollectionProperties {
            let Some(head) = self.head()? else {
                return Ok(None);
            };
            add(&[0; 16], head.properties_revision, head.properties_bytes);
            return Ok(Some(explained));
        }
        for row in self.vault().store.scan(&names.prefix(Kind::Summary)) {
            let (name, stored) = row?;
            if let Some(SummaryRow::Live(summary)) = self.open_summary(&name, &stored) {
                let id = summary.id.bytes();
                match kind {
                    Kind::Body => add(id, summary.body_revision, summary.size),
                    _ => add(id, summary.properties_revision, summary.properties_bytes),
                }
            }
        }
        for row in self.vault().store.scan(&names.prefix(Kind::History)) {
            let (name, stored) = row?;
            let row = self.open_history(&name, &stored);
            let kept = row.iter().flat_map(|row| row.kept());
            for kept in kept.filter(|kept| kept.kind == kind) {
                add(kept.object.bytes(), kept.revision, kept.bytes);
            }
        }
        Ok(Some(explained))
    }
}
