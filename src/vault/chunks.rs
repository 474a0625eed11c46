//! Contents are stored in chunks of 64 KiB, each a row of its own: reading one, and all of one.

use zeroize::Zeroizing;

use super::Vault;
use super::model::VaultError;
use super::tree::{Epoch, State};
use crate::ids::ObjectId;
use crate::seal::{CHUNK_CONTENT_BYTES, Kind, OpenError, Opened, Stored};

/// How many chunks a content of `bytes` bytes has; an empty one has one.
pub(super) fn chunks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(CHUNK_CONTENT_BYTES as u64).max(1))
        .expect("objects are far below 2^48 bytes")
}

/// Which content the chunks are of.
pub(super) struct Content<'a> {
    pub state: &'a State,
    pub kind: Kind,
    pub object: ObjectId,
    pub epoch: u32,
    pub revision: u64,
    pub bytes: u64,
}

impl Vault {
    /// Reads one chunk. None when it is not there.
    pub(super) fn read_chunk(
        &self,
        content: &Content<'_>,
        chunk: u32,
    ) -> Result<Option<Opened>, VaultError> {
        let Content {
            state,
            kind,
            object,
            epoch,
            revision,
            bytes,
        } = *content;
        let name = state.names.row(kind, object.bytes(), revision, chunk);
        let Some(stored) = self.store.get(&name)? else {
            return Ok(None);
        };
        let last = chunk + 1 == chunks(bytes);
        let open = |stored: Stored, epoch: &Epoch| {
            let place = state.chunk_place(kind, object, epoch.number, revision, chunk, last);
            stored.open(&epoch.rows, &place)
        };
        let opened = match &state.epochs[..] {
            [only] => open(stored, only),
            // A row keeps its name when it is sealed in the next epoch, which may just have been
            // done: the others are tried too.
            several => {
                let others = several.iter().rev().filter(|other| other.number != epoch);
                let tried = state.epoch(epoch).into_iter().chain(others);
                let mut tried = tried.map(|epoch| open(stored.clone(), epoch));
                let found = |opened: &Result<_, _>| !matches!(opened, Err(OpenError::Commitment));
                tried.find(found).unwrap_or(Err(OpenError::Commitment))
            }
        };
        let opened = opened.map_err(|error| {
            tracing::error!(collection = %state.id, row = name.short(), ?error, "a row does not open");
            VaultError::Damaged(name.short())
        })?;
        Ok(Some(opened))
    }

    /// Reads the chunks of an object (or, without one, of the collection). None when the first is
    /// not there.
    pub(super) fn read_chunks(
        &self,
        state: &State,
        kind: Kind,
        object: Option<ObjectId>,
        epoch: u32,
        revision: u64,
        bytes: u64,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let object = object.unwrap_or(ObjectId::NONE);
        let of = Content {
            state,
            kind,
            object,
            epoch,
            revision,
            bytes,
        };
        let count = chunks(bytes);
        if count == 1 {
            let content = self.read_chunk(&of, 0)?.map(Opened::into_content);
            return match content {
                Some(content) if content.len() as u64 != bytes => {
                    Err(VaultError::Damaged("length".into()))
                }
                content => Ok(content),
            };
        }
        let mut content = Zeroizing::new(Vec::with_capacity(
            usize::try_from(bytes)
                .unwrap_or(0)
                .min(crate::limits::OBJECT_BYTES),
        ));
        let first = state.names.row(kind, object.bytes(), revision, 0);
        for chunk in 0..count {
            match self.read_chunk(&of, chunk)? {
                Some(opened) => content.extend_from_slice(&opened),
                None if chunk == 0 => return Ok(None),
                // One commit removes all chunks: if the first is gone now too, the object was
                // overwritten while it was read, and nothing is damaged.
                None if self.store.get(&first)?.is_none() => return Ok(None),
                None => {
                    let name = state.names.row(kind, object.bytes(), revision, chunk);
                    return Err(VaultError::Damaged(name.short()));
                }
            }
        }
        if content.len() as u64 == bytes {
            Ok(Some(content))
        } else {
            Err(VaultError::Damaged("length".into()))
        }
    }
}
