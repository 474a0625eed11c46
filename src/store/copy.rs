//! A copy of all rows as they were after one commit, while others go on writing.
//!
//! sled has no snapshots. So all rows are read once, from the first name to the last, while the
//! commit thread notes which names change (watch.rs). Those rows are read again, in rounds that
//! get shorter, and the last few while the commit thread is held: what was read before and did
//! not change since, and what was read while nothing could change, are the rows as they were
//! after the last commit. Only reading happens while it is held; what was read is worked into
//! the parts that hold those rows afterwards.
//!
//! Rows are handed on in parts. Where a part ends is decided by the names (and by a bound of
//! bytes), so the same rows make the same parts whenever and wherever they are copied, and a
//! change of a row changes one part or two.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Store;
use super::error::StoreError;
use super::watch::Watching;
use crate::limits::{
    COPY_HELD_NAMES, COPY_OVERLAY_BYTES, COPY_PART_BYTES, COPY_PART_ROWS, COPY_PASSES, COPY_QUIET,
    COPY_ROUNDS,
};
use crate::seal::{RowName, Stored};

/// A row as it is stored.
pub type Row = (RowName, Stored);

/// Where the parts of a copy go, and come from again when rows of them changed meanwhile.
pub trait Parts {
    /// What is remembered of a part.
    type Part;
    /// Why a part could not be written or read.
    type Error: From<StoreError>;
    /// Keeps some rows, in the order of their names.
    ///
    /// # Errors
    /// The copy ends with it.
    fn write(&mut self, rows: &[Row]) -> Result<Self::Part, Self::Error>;
    /// The rows of a part that was kept.
    ///
    /// # Errors
    /// The copy ends with it.
    fn read(&mut self, part: &Self::Part) -> Result<Vec<Row>, Self::Error>;
}

/// A finished copy.
pub struct Copied<P> {
    /// Its parts, in the order of their rows' names.
    pub parts: Vec<P>,
    /// The number of the last group of commits that is in it.
    pub group: u64,
    /// For how long commits were held.
    pub held: Duration,
    /// How often rows that changed meanwhile were read again.
    pub rounds: u32,
}

/// The parts of each range; a range ends with the row that names it, the last one with `LAST`.
type Ranges<P> = BTreeMap<RowName, Vec<P>>;
/// Rows that changed, as they are now; none for one that is gone.
type Overlay = BTreeMap<RowName, Option<Stored>>;

impl Store {
    /// Copies all rows as they were after one commit, in parts. Takes memory for one part, for
    /// `limits::COPY_OVERLAY_BYTES` of rows that change meanwhile, and about a byte for each row.
    ///
    /// # Errors
    /// Those of `to`; the store's; `Busy` when more rows change than can be read again.
    pub fn copy_rows<T: Parts>(&self, to: &mut T) -> Result<Copied<T::Part>, T::Error> {
        let watching = self.watch.begin();
        for _ in 0..COPY_PASSES {
            let mut ranges = self.copy_all(to)?;
            if let Some(mut copied) = self.catch_up(&watching, &mut ranges, to)? {
                copied.parts = ranges.into_values().flatten().collect();
                return Ok(copied);
            }
        }
        Err(StoreError::Busy.into())
    }

    /// All rows as they come, not of one moment.
    fn copy_all<T: Parts>(&self, to: &mut T) -> Result<Ranges<T::Part>, T::Error> {
        let mut gather = Gather::new(to);
        for row in self.all_rows() {
            let (name, value) = row?;
            gather.push(name, value)?;
        }
        gather.close(last())?;
        Ok(gather.ranges)
    }

    /// Reads what changed again until all rows are of one moment; none when too much did.
    fn catch_up<T: Parts>(
        &self,
        watching: &Watching<'_>,
        ranges: &mut Ranges<T::Part>,
        to: &mut T,
    ) -> Result<Option<Copied<T::Part>>, T::Error> {
        let mut overlay = Overlay::new();
        let (mut rounds, mut bytes) = (0, 0);
        loop {
            let changed = watching.take();
            if changed.overflowed {
                return Ok(None);
            }
            let quiet = changed.names.len() <= COPY_QUIET || rounds >= COPY_ROUNDS;
            rounds += 1;
            for name in changed.names {
                let value = self.get(&name)?;
                bytes += value.as_ref().map_or(0, |value| value.bytes().len());
                overlay.insert(name, value);
                if bytes > COPY_OVERLAY_BYTES {
                    patch(ranges, std::mem::take(&mut overlay), to)?;
                    bytes = 0;
                }
            }
            if quiet {
                break;
            }
            // Worked in while commits go on, so that little is left for the end.
            if overlay.len() > COPY_HELD_NAMES {
                patch(ranges, std::mem::take(&mut overlay), to)?;
                bytes = 0;
            }
        }
        let Some((group, held)) = self.read_held(watching, &mut overlay)? else {
            return Ok(None);
        };
        patch(ranges, overlay, to)?;
        Ok(Some(Copied {
            parts: Vec::new(),
            group,
            held,
            rounds,
        }))
    }

    /// Reads the last rows that changed while nothing can change.
    fn read_held(
        &self,
        watching: &Watching<'_>,
        overlay: &mut Overlay,
    ) -> Result<Option<(u64, Duration)>, StoreError> {
        let hold = self.watch.hold();
        let begun = Instant::now();
        let changed = watching.take();
        if changed.overflowed || changed.names.len() > COPY_HELD_NAMES {
            return Ok(None);
        }
        let mut bytes = 0;
        for name in changed.names {
            let value = self.get(&name)?;
            bytes += value.as_ref().map_or(0, |value| value.bytes().len());
            if bytes > COPY_OVERLAY_BYTES {
                return Ok(None);
            }
            overlay.insert(name, value);
        }
        let group = self.group();
        drop(hold);
        Ok(Some((group, begun.elapsed())))
    }
}

/// The end of the last range.
fn last() -> RowName {
    RowName::read(&[0xff; 36]).expect("a name has 36 bytes")
}

/// Whether a range ends with this row.
fn ends_range(name: &RowName) -> bool {
    let hash = blake3::hash(name.bytes());
    let [a, b, ..] = *hash.as_bytes();
    u16::from_le_bytes([a, b]).is_multiple_of(COPY_PART_ROWS)
}

/// Works rows that changed into the ranges that hold them.
fn patch<T: Parts>(
    ranges: &mut Ranges<T::Part>,
    mut overlay: Overlay,
    to: &mut T,
) -> Result<(), T::Error> {
    while let Some((&first, _)) = overlay.first_key_value() {
        let mut gather = Gather::new(to);
        let mut next = first;
        loop {
            let (&end, _) = ranges
                .range(next..)
                .next()
                .expect("the last range takes all names");
            let parts = ranges.remove(&end).unwrap_or_default();
            let mut changed = overlay;
            // What comes after this range stays for the next ones.
            overlay = changed.split_off(&end);
            changed.extend(overlay.remove_entry(&end));
            gather.merge(parts, changed)?;
            if end == last() {
                gather.close(end)?;
                break;
            }
            if gather.is_closed() {
                break;
            }
            // The row that ended this range is gone: the next one goes on with it.
            next = end;
        }
        ranges.append(&mut gather.ranges);
    }
    Ok(())
}

/// Makes ranges of rows that come in order.
struct Gather<'a, T: Parts> {
    to: &'a mut T,
    rows: Vec<Row>,
    bytes: usize,
    parts: Vec<T::Part>,
    ranges: Ranges<T::Part>,
}

impl<'a, T: Parts> Gather<'a, T> {
    fn new(to: &'a mut T) -> Self {
        Gather {
            to,
            rows: Vec::new(),
            bytes: 0,
            parts: Vec::new(),
            ranges: Ranges::new(),
        }
    }

    fn push(&mut self, name: RowName, value: Stored) -> Result<(), T::Error> {
        self.bytes += name.bytes().len() + value.bytes().len();
        self.rows.push((name, value));
        if ends_range(&name) {
            return self.close(name);
        }
        if self.bytes >= COPY_PART_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), T::Error> {
        if !self.rows.is_empty() {
            self.parts.push(self.to.write(&self.rows)?);
            self.rows.clear();
            self.bytes = 0;
        }
        Ok(())
    }

    /// Ends the range that is being made.
    fn close(&mut self, end: RowName) -> Result<(), T::Error> {
        self.write()?;
        self.ranges.insert(end, std::mem::take(&mut self.parts));
        Ok(())
    }

    /// Whether the last row ended a range.
    fn is_closed(&self) -> bool {
        self.rows.is_empty() && self.parts.is_empty()
    }

    /// Takes the rows of parts, those that changed as `changed` has them.
    fn merge(&mut self, parts: Vec<T::Part>, changed: Overlay) -> Result<(), T::Error> {
        let mut changed = changed.into_iter().peekable();
        for part in parts {
            for (name, value) in self.to.read(&part)? {
                while let Some((new, now)) = changed.next_if(|(new, _)| *new < name) {
                    self.put(new, now)?;
                }
                match changed.next_if(|(new, _)| *new == name) {
                    Some((_, now)) => self.put(name, now)?,
                    None => self.push(name, value)?,
                }
            }
        }
        for (name, now) in changed {
            self.put(name, now)?;
        }
        Ok(())
    }

    fn put(&mut self, name: RowName, now: Option<Stored>) -> Result<(), T::Error> {
        now.map_or(Ok(()), |value| self.push(name, value))
    }
}
