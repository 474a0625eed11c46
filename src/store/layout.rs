//! The files of a store, and in which order they come to be.
//!
//! - `lock`: held by the process that has the store open.
//! - `format`: what this is, its format version and its epoch, as three lines of text.
//! - `rows/`: the database.
//! - `witness`: the number of the last group that was safely in the database, and the one before
//!   it. It is written after each sync and never synced itself, so it can lag behind the database
//!   but not run ahead of it, unless the database lost something.
//!
//! A store is created as `rows.new`, then `format` is written, then `rows.new` is renamed, each
//! durable before the next; so whatever a crash leaves behind tells where to go on.
//!
//! A database is written anew as `rows.part`. Complete and durable, it is renamed to `rows.next`:
//! from then on it is the one that counts. `rows` then becomes `rows.old`, `rows.next` becomes
//! `rows`, and `rows.old` is removed. An opening goes on wherever that was cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::{StoreError, advice};

/// The newest format this program knows, and the one it writes: what is opened gets its number. Since 2
/// objects have families (`ids::family`), whose rows programs of before would not find.
pub const FORMAT_VERSION: u32 = 2;

const FIRST_LINE: &str = "sealdav store";
/// Bytes of `format` that are looked at: far more than this version writes.
const FORMAT_BYTES: u64 = 4096;
/// Readable by the server's own user only.
const FILE_MODE: u32 = 0o600;

/// What the file `format` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) version: u32,
    pub(super) epoch: u64,
}

/// What the directory holds.
pub(super) enum Found {
    /// No store, or the beginning of one that was never finished.
    Nothing,
    /// A store; its rows may still have to be renamed.
    Store(Format),
}

/// Paths of a store's files.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(super) fn new(dir: &Path) -> Self {
        Layout {
            dir: dir.to_owned(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn rows(&self) -> PathBuf {
        self.dir.join("rows")
    }

    pub(super) fn rows_new(&self) -> PathBuf {
        self.dir.join("rows.new")
    }

    /// A database that is being written anew.
    pub(super) fn rows_part(&self) -> PathBuf {
        self.dir.join("rows.part")
    }

    fn rows_next(&self) -> PathBuf {
        self.dir.join("rows.next")
    }

    fn rows_old(&self) -> PathBuf {
        self.dir.join("rows.old")
    }

    fn format(&self) -> PathBuf {
        self.dir.join("format")
    }

    fn witness(&self) -> PathBuf {
        self.dir.join("witness")
    }

    /// Creates the directory when it is absent and takes the lock. The lock goes with the file.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        if !self.dir.is_dir() {
            fs::create_dir_all(&self.dir).map_err(StoreError::io("create its directory"))?;
            if let Some(parent) = self
                .dir
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                sync_dir(parent)?;
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(self.dir.join("lock"))
            .map_err(StoreError::io("open its lock file"))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse {
                dir: self.dir.clone(),
            }),
            Err(error) => Err(StoreError::io("lock its directory")(error.into())),
        }
    }

    /// Looks at what is there, and puts away what an interrupted creation left.
    pub(super) fn find(&self) -> Result<Found, StoreError> {
        self.go_on()?;
        let format = self.read_format()?;
        let rows = self.rows().exists();
        let rows_new = self.rows_new().exists();
        match (format, rows, rows_new) {
            (Some(format), true, false) => Ok(Found::Store(format)),
            (Some(format), false, true) => {
                self.rename_rows()?;
                Ok(Found::Store(format))
            }
            (None, false, _) => {
                if rows_new {
                    fs::remove_dir_all(self.rows_new())
                        .map_err(StoreError::io("remove its unfinished database"))?;
                }
                Ok(Found::Nothing)
            }
            (Some(_), true, true) => Err(StoreError::Damaged {
                advice: advice::OPEN,
            }),
            (Some(_), false, false) => Err(StoreError::Damaged {
                advice: advice::NO_ROWS,
            }),
            (None, true, _) => Err(StoreError::Damaged {
                advice: advice::MARKER,
            }),
        }
    }

    /// Ends, or takes back, a replacement of the database that was cut off.
    pub(super) fn go_on(&self) -> Result<(), StoreError> {
        remove_dir(&self.rows_part())?;
        if self.rows_next().exists() {
            if self.rows().exists() {
                remove_dir(&self.rows_old())?;
                self.put_aside()?;
            }
            self.put_in_place()?;
        }
        if self.rows().exists() {
            remove_dir(&self.rows_old())?;
        }
        Ok(())
    }

    /// First step of a replacement: what is in `rows.part` is complete and durable, and counts.
    pub(super) fn declare_next(&self) -> Result<(), StoreError> {
        self.rename(&self.rows_part(), &self.rows_next())
    }

    /// Second step: the database that counted until now goes aside.
    pub(super) fn put_aside(&self) -> Result<(), StoreError> {
        self.rename(&self.rows(), &self.rows_old())
    }

    /// Third step: the new one takes its place.
    pub(super) fn put_in_place(&self) -> Result<(), StoreError> {
        self.rename(&self.rows_next(), &self.rows())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        fs::rename(from, to).map_err(StoreError::io("rename its database"))?;
        sync_dir(&self.dir)
    }

    /// Ends a creation: the database in `rows.new` is complete and durable.
    pub(super) fn finish(&self, format: Format) -> Result<(), StoreError> {
        self.write_format(format)?;
        self.rename_rows()
    }

    fn rename_rows(&self) -> Result<(), StoreError> {
        self.rename(&self.rows_new(), &self.rows())
    }

    fn read_format(&self) -> Result<Option<Format>, StoreError> {
        let mut text = Vec::new();
        match File::open(self.format()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open the file 'format'")(error)),
            Ok(file) => file
                .take(FORMAT_BYTES)
                .read_to_end(&mut text)
                .map_err(StoreError::io("read the file 'format'"))?,
        };
        parse_format(&text).map(Some)
    }

    /// Writes the file `format` so that a crash leaves the old one or the new one.
    pub(super) fn write_format(&self, format: Format) -> Result<(), StoreError> {
        let text = format!(
            "{FIRST_LINE}\nversion {}\nepoch {:016x}\n",
            format.version, format.epoch
        );
        let new = self.dir.join("format.new");
        let doing = "write the file 'format'";
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(FILE_MODE)
            .open(&new)
            .map_err(StoreError::io(doing))?;
        file.write_all(text.as_bytes())
            .map_err(StoreError::io(doing))?;
        file.sync_all().map_err(StoreError::io(doing))?;
        fs::rename(&new, self.format()).map_err(StoreError::io(doing))?;
        sync_dir(&self.dir)
    }

    /// What the witness says now, while another thread may be writing it.
    pub(super) fn read_witness(&self) -> Result<Option<u64>, StoreError> {
        match fs::read(self.witness()) {
            Ok(bytes) => parse_witness(&bytes).map(|(group, _)| group),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read the file 'witness'")(error)),
        }
    }

    /// Opens the witness. `None` in place of a number when there was none: the store is new, or
    /// the administrator removed it to accept a loss.
    pub(super) fn open_witness(&self) -> Result<(Witness, Option<u64>), StoreError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(FILE_MODE)
            .open(self.witness())
            .map_err(StoreError::io("open the file 'witness'"))?;
        let mut bytes = Vec::new();
        (&file)
            .take((SLOTS * SLOT_BYTES) as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(StoreError::io("read the file 'witness'"))?;
        let (number, next) = parse_witness(&bytes)?;
        Ok((Witness { file, next }, number))
    }
}

/// Number and complement, so that a torn or damaged slot is not believed.
const SLOT_BYTES: usize = 16;
/// Numbers are written into them in turn, so that one that is torn leaves the one before.
const SLOTS: usize = 2;

/// The open file `witness`.
pub(super) struct Witness {
    file: File,
    /// The slot that is written next: not the one that holds the last number.
    next: usize,
}

impl Witness {
    /// Notes, durably, that nothing was written yet. Its name is made durable by what follows.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        let doing = "write the file 'witness'";
        self.next = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.write(0))
            .and_then(|()| self.file.sync_all())
            .map_err(StoreError::io(doing))
    }

    /// Notes that the group of this number is on the disk.
    pub(super) fn write(&mut self, number: u64) -> io::Result<()> {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..].copy_from_slice(&(!number).to_le_bytes());
        self.file
            .write_all_at(&bytes, (self.next * SLOT_BYTES) as u64)?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }
}

/// The number that a witness holds, and the slot to write next.
fn parse_witness(bytes: &[u8]) -> Result<(Option<u64>, usize), StoreError> {
    let slots = bytes.chunks(SLOT_BYTES).take(SLOTS).enumerate();
    let last = slots
        .filter_map(|(slot, bytes)| Some((parse_slot(bytes)?, slot)))
        .max();
    match last {
        Some((number, slot)) if bytes.len() <= SLOTS * SLOT_BYTES => {
            Ok((Some(number), (slot + 1) % SLOTS))
        }
        // Nothing, or a first number that was torn.
        None if bytes.len() < SLOT_BYTES => Ok((None, 0)),
        _ => Err(StoreError::Damaged {
            advice: advice::WITNESS,
        }),
    }
}

fn parse_slot(bytes: &[u8]) -> Option<u64> {
    let bytes = <[u8; SLOT_BYTES]>::try_from(bytes).ok()?;
    let number = u64::from_le_bytes(std::array::from_fn(|at| bytes[at]));
    let complement = u64::from_le_bytes(std::array::from_fn(|at| bytes[at + 8]));
    (complement == !number).then_some(number)
}

/// Later formats keep the first two lines, so that this program can say which version is needed.
fn parse_format(text: &[u8]) -> Result<Format, StoreError> {
    let damaged = StoreError::Damaged {
        advice: advice::MARKER,
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(damaged);
    };
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(damaged);
    }
    let version = lines
        .next()
        .and_then(|line| line.strip_prefix("version ")?.parse::<u32>().ok());
    let version = match version {
        Some(found @ 1..=FORMAT_VERSION) => found,
        Some(found) if found > FORMAT_VERSION => {
            return Err(StoreError::NewerFormat {
                found,
                known: FORMAT_VERSION,
            });
        }
        _ => return Err(damaged),
    };
    let epoch = lines
        .next()
        .and_then(|line| u64::from_str_radix(line.strip_prefix("epoch ")?, 16).ok());
    match epoch {
        Some(epoch) => Ok(Format { version, epoch }),
        None => Err(damaged),
    }
}

/// Removes a directory with all that is in it, if it is there.
fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove an old database")(error))
        }
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    let doing = "sync a directory";
    File::open(dir)
        .map_err(StoreError::io(doing))?
        .sync_all()
        .map_err(StoreError::io(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_number_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let (mut witness, none) = layout.open_witness().unwrap();
        assert_eq!(none, None);
        witness.begin().unwrap();
        for number in 1..=5 {
            witness.write(number).unwrap();
        }
        let read = || layout.open_witness().map(|(_, number)| number);
        assert_eq!(read(), Ok(Some(5)));
        let whole = fs::read(layout.witness()).unwrap();
        for torn in 1..SLOT_BYTES {
            // The next number, 6, would be in the slot of 4.
            let mut bytes = whole.clone();
            bytes[..torn].copy_from_slice(&[0xa5; SLOT_BYTES][..torn]);
            fs::write(layout.witness(), &bytes).unwrap();
            assert_eq!(read(), Ok(Some(5)), "{torn}");
            // And it is written there again, not over the one that is left.
            let (mut witness, _) = layout.open_witness().unwrap();
            witness.write(6).unwrap();
            assert_eq!(read(), Ok(Some(6)));
            bytes[SLOT_BYTES..][..torn].copy_from_slice(&[0xa5; SLOT_BYTES][..torn]);
            fs::write(layout.witness(), &bytes).unwrap();
            assert!(read().is_err(), "both are damaged");
            fs::write(layout.witness(), &whole[..torn]).unwrap();
            assert_eq!(read(), Ok(None), "a first number that was torn");
        }
    }
}
