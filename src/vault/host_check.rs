//! The row that only the right host key finds and opens. It also holds the key by which the
//! host's rows are named: that one stays when the host key is replaced.

use super::VaultOpenError;
use crate::ambient::Ambient;
use crate::ids::{AccountId, CollectionId, ObjectId};
use crate::seal::{HostKey, Kind, NameKey, Place, RowName};
use crate::store::{Batch, Store, StoreError};

const MARK: &[u8] = b"sealdav";

/// The name of the row under this host key.
pub(super) fn name(host: &HostKey) -> RowName {
    host.names().row(Kind::HostCheck, &[0; 16], 0, 0)
}

fn place() -> Place {
    Place::single(
        Kind::HostCheck,
        AccountId::NONE,
        CollectionId::NONE,
        ObjectId::NONE,
    )
}

/// Writes it for `host`, whose rows go on being named by `names`.
pub(super) fn put(batch: &mut Batch, host: &HostKey, names: &NameKey, ambient: &Ambient) {
    let mut content = zeroize::Zeroizing::new(MARK.to_vec());
    content.extend_from_slice(names.expose());
    let row = host.rows().seal_by(&place(), &content, ambient);
    batch.put(name(host), row);
}

/// Checks the host key of a store, or marks an empty store with it, and tells how the host's rows
/// are named.
pub(super) fn names(
    store: &Store,
    host: &HostKey,
    ambient: &Ambient,
) -> Result<NameKey, VaultOpenError> {
    if let Some(stored) = store.get(&name(host))? {
        let opened = stored
            .open(&host.rows(), &place())
            .map_err(|_| VaultOpenError::WrongHostKey)?;
        return match opened.strip_prefix(MARK) {
            // A store whose host key was never replaced before this row held the other key.
            Some([]) => Ok(host.names()),
            Some(names) => names
                .try_into()
                .map(NameKey::read)
                .map_err(|_| VaultOpenError::WrongHostKey),
            None => Err(VaultOpenError::WrongHostKey),
        };
    }
    if !store.is_empty()? {
        return Err(VaultOpenError::WrongHostKey);
    }
    let mut batch = Batch::new();
    put(&mut batch, host, &host.names(), ambient);
    store.commit(batch).wait()?;
    Ok(host.names())
}

/// Whether the row is there, opens, and names the key by which the host's rows are named.
pub(super) fn holds(store: &Store, host: &HostKey, names: &NameKey) -> Result<bool, StoreError> {
    let Some(stored) = store.get(&name(host))? else {
        return Ok(false);
    };
    let opened = stored.open(&host.rows(), &place()).ok();
    let opened = opened.as_ref().and_then(|opened| opened.strip_prefix(MARK));
    Ok(opened.is_some_and(|own| own.is_empty() || own == names.expose()))
}
