//! Key files: one small file per account holds its key slots, apart from the store and its
//! backups. It is replaced atomically (write new, sync, rename, sync the directory); destroying it
//! destroys the account's data for good.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, SlotId};
use crate::limits;
use crate::seal::{PublicKey, Slot};

const MAGIC: &[u8] = b"sealdav key slots\n";
const VERSION: u8 = 1;

/// Tells account keys apart: the beginning of a hash of the public key of their pair.
pub type KeyMark = [u8; 16];

/// The mark of the account key whose pair has this public key.
pub(super) fn mark(public: &PublicKey) -> KeyMark {
    let bytes = postcard::to_stdvec(public).expect("writing to memory, of a type of 32 bytes");
    let hash = blake3::derive_key("sealdav 1 mark of an account key", &bytes);
    std::array::from_fn(|at| hash[at])
}

/// An account's key slots at one moment.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyFile {
    /// Grows with every replacement.
    pub generation: u64,
    /// The slots, oldest first.
    pub slots: Vec<Slot>,
    /// Which account key they hold, so that a restore notices when its rows have another one; none
    /// in a file of before. It stands behind the rest, where older programs do not look.
    #[serde(skip)]
    pub holds: Option<KeyMark>,
}

impl KeyFile {
    /// Whether it is byte for byte the same.
    pub fn is(&self, other: &KeyFile) -> bool {
        let bytes = |file| postcard::to_stdvec::<KeyFile>(file).ok();
        bytes(self) == bytes(other) && self.holds == other.holds
    }

    /// The slot with this id.
    pub fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.id == id)
    }
}

/// The directory of key files.
pub(super) struct KeyFiles {
    directory: PathBuf,
}

impl KeyFiles {
    /// Opens the directory, making it when it is not there.
    pub fn open(directory: &Path) -> io::Result<Self> {
        if !directory.is_dir() {
            fs::create_dir_all(directory)?;
            // Its name too: a power cut that loses the directory loses every account.
            let parent = directory
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let files = KeyFiles {
            directory: directory.to_owned(),
        };
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            // What a replacement that was cut off left behind: slots that may be revoked by now.
            if path.extension().is_some_and(|extension| extension == "new") {
                files.shred(&path)?;
            }
        }
        Ok(files)
    }

    /// The accounts that have a key file.
    pub fn accounts(&self) -> io::Result<Vec<AccountId>> {
        let mut accounts = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".keys"));
            accounts.extend(id.and_then(AccountId::from_hex));
        }
        Ok(accounts)
    }

    fn path_new(&self, account: AccountId) -> PathBuf {
        self.directory.join(format!("{account}.new"))
    }

    fn path(&self, account: AccountId) -> PathBuf {
        self.directory.join(format!("{account}.keys"))
    }

    /// Reads an account's key file; none when it has none. `InvalidData` when it is damaged or newer.
    pub fn read(&self, account: AccountId) -> io::Result<Option<KeyFile>> {
        let mut bytes = Vec::new();
        match File::open(self.path(account)) {
            Ok(file) => file.take(limits::KEY_FILE_BYTES).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let content = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.strip_prefix(&[VERSION]));
        content
            .and_then(parse)
            .map(Some)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Replaces an account's key file; durable when it returns.
    pub fn replace(&self, account: AccountId, file: &KeyFile) -> io::Result<()> {
        let mut start = MAGIC.to_vec();
        start.push(VERSION);
        let mut bytes = postcard::to_extend(file, start)
            .expect("writing to memory, of types that postcard takes");
        bytes.extend(file.holds.iter().flatten());
        let new = self.path_new(account);
        let mut handle = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        handle.write_all(&bytes)?;
        handle.sync_all()?;
        fs::rename(&new, self.path(account))?;
        self.sync()
    }

    /// Destroys an account's key file: overwritten, removed, durable when it returns. File systems
    /// and drives may keep old blocks; the threat model says so.
    pub fn destroy(&self, account: AccountId) -> io::Result<()> {
        self.shred(&self.path_new(account))?;
        self.shred(&self.path(account))
    }

    fn shred(&self, path: &Path) -> io::Result<()> {
        match OpenOptions::new().write(true).open(path) {
            Ok(mut handle) => {
                let length = usize::try_from(handle.metadata()?.len()).unwrap_or(0);
                handle.write_all(&vec![0; length])?;
                handle.sync_all()?;
                fs::remove_file(path)?;
                self.sync()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the key file that stands there now is durable.
    pub fn settle(&self, account: AccountId) -> io::Result<()> {
        File::open(self.path(account))?.sync_all()?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

fn parse(content: &[u8]) -> Option<KeyFile> {
    let (mut file, rest) = postcard::take_from_bytes::<KeyFile>(content).ok()?;
    if !rest.is_empty() {
        file.holds = Some(rest.try_into().ok()?);
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_read_destroyed() {
        let directory = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(directory.path()).unwrap();
        let account = AccountId::from_bytes([5; 16]);
        assert!(files.read(account).unwrap().is_none());
        files
            .replace(
                account,
                &KeyFile {
                    generation: 7,
                    slots: Vec::new(),
                    holds: Some([9; 16]),
                },
            )
            .unwrap();
        let file = files.read(account).unwrap().unwrap();
        assert_eq!((file.generation, file.holds), (7, Some([9; 16])));
        // One of before has no mark; part of one is none.
        let whole = fs::read(files.path(account)).unwrap();
        let (old, torn) = whole.split_at(whole.len() - 16);
        fs::write(files.path(account), old).unwrap();
        assert_eq!(files.read(account).unwrap().unwrap().holds, None);
        fs::write(files.path(account), [old, &torn[1..]].concat()).unwrap();
        assert!(files.read(account).is_err());
        fs::write(files.path(account), b"sealdav key slots\n\x02").unwrap();
        assert_eq!(
            files.read(account).err().unwrap().kind(),
            io::ErrorKind::InvalidData
        );
        fs::write(files.path_new(account), b"slots").unwrap();
        files.destroy(account).unwrap();
        assert!(files.read(account).unwrap().is_none());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        fs::write(files.path_new(account), b"slots").unwrap();
        KeyFiles::open(directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
