//! Where backups are kept. A destination does few things with files, so that another kind than a
//! directory (an object store) is one more case of `Destination`.
//!
//! ```text
//! lock                   held while a backup is written or removed
//! erased                 the accounts that were erased (`vault::Erased`)
//! packs/HASH             rows (`pack`)
//! backups/ID             manifests (`manifest`): one is a whole backup as soon as it is there
//! tmp/HASH               packs of a backup that is being written
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::BackupError;
use super::manifest::{BackupId, Manifest};
use super::pack::Pack;
use crate::limits;
use crate::vault::{replace_file, signed};

const MODE: u32 = 0o600;
/// What the name of a manifest that is being written ends with.
const UNFINISHED: &str = ".new";

/// Where backups are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// A directory of this machine, which may be a mounted disk.
    Directory(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Directory(dir) => write!(formatter, "{}", dir.display()),
        }
    }
}

/// Keeps other backups out of a destination until it is dropped.
pub struct DestinationLock {
    _file: File,
}

impl Destination {
    fn dir(&self) -> &Path {
        let Destination::Directory(dir) = self;
        dir
    }

    fn pack(&self, pack: &Pack) -> PathBuf {
        self.dir().join("packs").join(signed::to_hex(&pack.hash))
    }

    fn fail(&self, doing: &'static str) -> impl FnOnce(io::Error) -> BackupError {
        let at = self.to_string();
        move |error| BackupError::Destination { at, doing, error }
    }

    /// Makes it ready for a backup, and keeps others out. The directory itself must be there: a
    /// disk that is not mounted must not be taken for an empty one.
    pub(super) fn open(&self) -> Result<DestinationLock, BackupError> {
        let doing = "open it";
        if !self.dir().is_dir() {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(self.fail(
                "find its directory (make it, or mount the disk that it is on)",
            )(missing));
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(MODE)
            .open(self.dir().join("lock"))
            .map_err(self.fail(doing))?;
        let flock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        if rustix::fs::flock(&lock, flock).is_err() {
            return Err(BackupError::InUse(self.to_string()));
        }
        for name in ["packs", "backups", "tmp"] {
            match fs::create_dir(self.dir().join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(self.fail(doing)(error));
                }
                _ => {}
            }
        }
        self.clear_temporary()?;
        for name in self.names("backups")? {
            if name.ends_with(UNFINISHED) {
                let file = self.dir().join("backups").join(name);
                fs::remove_file(file).map_err(self.fail(doing))?;
            }
        }
        self.sync("")?;
        Ok(DestinationLock { _file: lock })
    }

    /// Removes what a backup that was cut off, or that changed its mind, left behind.
    pub(super) fn clear_temporary(&self) -> Result<(), BackupError> {
        let doing = "tidy it";
        for entry in fs::read_dir(self.dir().join("tmp")).map_err(self.fail(doing))? {
            let path = entry.map_err(self.fail(doing))?.path();
            fs::remove_file(path).map_err(self.fail(doing))?;
        }
        Ok(())
    }

    /// Whether it has a pack (by its name and size; `verify` looks inside).
    pub(super) fn has(&self, pack: &Pack) -> bool {
        let found = self.pack(pack).metadata();
        found.is_ok_and(|found| found.is_file() && found.len() == pack.bytes)
    }

    /// Writes a pack that does not count yet.
    pub(super) fn write_temporary(&self, pack: &Pack, file: &[u8]) -> Result<(), BackupError> {
        let path = self.dir().join("tmp").join(signed::to_hex(&pack.hash));
        let mut handle = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(MODE)
            .open(path)
            .map_err(self.fail("write a pack"))?;
        handle.write_all(file).map_err(self.fail("write a pack"))
    }

    /// Makes packs that were written durable and gives them their place.
    pub(super) fn keep<'a>(
        &self,
        packs: impl Iterator<Item = &'a Pack> + Clone,
    ) -> Result<(), BackupError> {
        let doing = "sync a pack";
        let temporary = |pack: &Pack| self.dir().join("tmp").join(signed::to_hex(&pack.hash));
        for pack in packs.clone() {
            let file = File::open(temporary(pack)).map_err(self.fail(doing))?;
            file.sync_all().map_err(self.fail(doing))?;
        }
        for pack in packs {
            fs::rename(temporary(pack), self.pack(pack)).map_err(self.fail(doing))?;
        }
        self.sync("packs")
    }

    /// The file of a pack, in its place or not yet.
    pub(super) fn read_pack(&self, pack: &Pack) -> Result<Vec<u8>, BackupError> {
        let name = signed::to_hex(&pack.hash);
        let read = |dir: &str| {
            let path = self.dir().join(dir).join(&name);
            read_bounded(&path, limits::BACKUP_PACK_BYTES)
        };
        let found = read("packs").or_else(|_| read("tmp"));
        found.map_err(|error| BackupError::Pack {
            at: self.to_string(),
            name,
            what: match error.kind() {
                io::ErrorKind::NotFound => "it is missing".to_owned(),
                _ => format!("it cannot be read: {error}"),
            },
        })
    }

    /// The names of all packs.
    pub(super) fn packs(&self) -> Result<Vec<String>, BackupError> {
        self.names("packs")
    }

    /// The ids of all backups, oldest first; other names apart.
    pub(super) fn backups(&self) -> Result<(Vec<BackupId>, Vec<String>), BackupError> {
        let (mut ids, mut others) = (Vec::new(), Vec::new());
        for name in self.names("backups")? {
            match BackupId::parse(&name) {
                Some(id) => ids.push(id),
                None if name.ends_with(UNFINISHED) => {}
                None => others.push(name),
            }
        }
        ids.sort();
        Ok((ids, others))
    }

    fn names(&self, dir: &str) -> Result<Vec<String>, BackupError> {
        let doing = "list it";
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir().join(dir)).map_err(self.fail(doing))? {
            let entry = entry.map_err(self.fail(doing))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Writes a manifest: from then on the backup is there.
    pub(super) fn publish(&self, id: &BackupId, text: &str) -> Result<(), BackupError> {
        let file = self.dir().join("backups").join(id.to_string());
        replace_file(&file, text.as_bytes()).map_err(self.fail("write a manifest"))
    }

    /// The manifest of a backup, if it is the one that was written.
    pub(super) fn manifest(&self, id: &BackupId) -> Result<Manifest, BackupError> {
        let file = self.dir().join("backups").join(id.to_string());
        let bytes = read_bounded(&file, limits::BACKUP_MANIFEST_BYTES)
            .map_err(self.fail("read a manifest"))?;
        let manifest = String::from_utf8(bytes)
            .ok()
            .and_then(|text| Manifest::parse(&text))
            .filter(|manifest| manifest.id == *id);
        manifest.ok_or_else(|| BackupError::Manifest {
            at: self.to_string(),
            id: id.clone(),
        })
    }

    /// Removes a backup; its packs stay until no other one has them.
    pub(super) fn remove(&self, id: &BackupId) -> Result<(), BackupError> {
        let file = self.dir().join("backups").join(id.to_string());
        fs::remove_file(file).map_err(self.fail("remove an old backup"))?;
        self.sync("backups")
    }

    /// Removes a pack that no backup has.
    pub(super) fn remove_pack(&self, name: &str) -> Result<(), BackupError> {
        let file = self.dir().join("packs").join(name);
        fs::remove_file(file).map_err(self.fail("remove an old pack"))
    }

    /// The list of erased accounts, as a text; none when there is none yet.
    pub(super) fn erased(&self) -> Result<Option<String>, BackupError> {
        match fs::read_to_string(self.dir().join("erased")) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.fail("read the list of erased accounts")(error)),
        }
    }

    /// Replaces the list of erased accounts.
    pub(super) fn put_erased(&self, text: &str) -> Result<(), BackupError> {
        replace_file(&self.dir().join("erased"), text.as_bytes())
            .map_err(self.fail("write the list of erased accounts"))
    }

    fn sync(&self, dir: &str) -> Result<(), BackupError> {
        File::open(self.dir().join(dir))
            .and_then(|dir| dir.sync_all())
            .map_err(self.fail("sync it"))
    }
}

fn read_bounded(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}
