//! The keys of an account, taken from its data directory with its secrets by the formulas as they
//! are documented, so that they can be looked for where they must not be.

use std::fs;
use std::path::Path;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sealdav::ids::{AccountId, CollectionId, ObjectId};
use sealdav::seal::{Boxed, Generated, Kind, Place};

use crate::common::{copy, rows};

type Key = [u8; 32];

/// All keys of the one account there, by what they are.
pub fn of_account(data: &Path, beside: &Path, app_password: &str) -> Vec<(String, Key)> {
    let text = fs::read_to_string(data.join("host.key")).expect("the host key");
    let host = hexadecimal(text.trim());
    let (account, slots) = key_file(&data.join("keys"));
    let secret = Generated::read(app_password).expect("an app password");
    let pair = secret.pair();
    let account_key = slots.iter().find_map(|(slot, wrapped)| {
        let boxed = open(
            &derived(&host, "sealdav 1 host slots"),
            &bound(Kind::Slot, account, slot),
            wrapped,
        )?;
        let place = Place::single(
            Kind::Slot,
            AccountId::from_bytes(account),
            CollectionId::NONE,
            ObjectId::from_bytes(*slot),
        );
        let content = pair.open(&place, &Boxed::read(boxed)).ok()?;
        // version, the variant of a whole account
        assert_eq!(content[..2], [2, 0]);
        content[2..34].try_into().ok()
    });
    let account_key: Key = account_key.expect("the app password opens a slot");
    let links = derived(&account_key, "sealdav 1 account rows");
    let names = derived(&account_key, "sealdav 1 account names");
    let mut keys = vec![
        ("account key".to_owned(), account_key),
        ("row key of the account".to_owned(), links),
        ("name key of the account".to_owned(), names),
        ("private key of the app password".to_owned(), *pair.expose()),
    ];
    let prefix = &blake3::keyed_hash(&names, &[1, Kind::Link as u8]).as_bytes()[..16].to_vec();
    copy(&data.join("db/rows"), beside);
    for (number, row) in rows(beside).scan_prefix(prefix).enumerate() {
        let (name, row) = row.expect("a row");
        let content = open(&links, &scanned(Kind::Link, account, &name), &row).expect("it opens");
        // at its end: the lasting key, one epoch with its number, and the key of that epoch
        let (rest, key) = content.split_last_chunk::<32>().expect("a key");
        let rest = rest.strip_suffix(&[1, 1]).expect("one epoch");
        let lasting = rest.last_chunk::<32>().expect("a key");
        for (what, key) in [
            ("key", *key),
            ("lasting key", *lasting),
            ("row key", derived(key, "sealdav 1 collection rows")),
            ("name key", derived(lasting, "sealdav 1 collection names")),
            ("etag key", derived(lasting, "sealdav 1 collection etags")),
        ] {
            keys.push((format!("{what} of collection {number}"), key));
        }
    }
    assert!(keys.len() > 10, "the home and two calendars");
    keys
}

fn hexadecimal(text: &str) -> Key {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    std::array::from_fn(|at| byte(2 * at))
}

fn derived(key: &Key, info: &str) -> Key {
    let mut output = [0; 32];
    Hkdf::<sha2::Sha256>::new(None, key)
        .expand(info.as_bytes(), &mut output)
        .expect("32 bytes are few");
    output
}

/// Of each slot its id and its sealed content.
type Slots = Vec<([u8; 16], Vec<u8>)>;

/// The one key file: whose, and the id and sealed content of each slot.
fn key_file(keys: &Path) -> ([u8; 16], Slots) {
    let path = fs::read_dir(keys)
        .expect("keys")
        .next()
        .expect("an account");
    let path = path.expect("an entry").path();
    let name = path
        .file_stem()
        .expect("a name")
        .to_string_lossy()
        .repeat(2);
    let account = hexadecimal(&name)[..16].try_into().expect("16 bytes");
    let bytes = fs::read(&path).expect("a key file");
    let content = bytes
        .strip_prefix(b"sealdav key slots\n\x01")
        .expect("its first line");
    let mut rest = content;
    let _changes = number(&mut rest);
    let slots = (0..number(&mut rest)).map(|_| {
        let id = take(&mut rest, 16).try_into().expect("16 bytes");
        match number(&mut rest) {
            0 => {
                take(&mut rest, 16);
                number(&mut rest);
                number(&mut rest);
            }
            _ => drop(take(&mut rest, 16)),
        }
        let length = number(&mut rest);
        let wrapped = take(&mut rest, length);
        let length = number(&mut rest);
        take(&mut rest, length);
        (id, wrapped)
    });
    (account, slots.collect())
}

fn take(rest: &mut &[u8], count: usize) -> Vec<u8> {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken.to_vec()
}

/// Seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)[0];
        value |= usize::from(byte & 127) << shift;
        if byte < 128 {
            return value;
        }
    }
    panic!("a number without an end");
}

/// What binds a row to its place: of account and object, in no collection, one chunk.
fn bound(kind: Kind, account: [u8; 16], object: &[u8; 16]) -> [u8; 67] {
    let mut data = [0; 67];
    data[0] = 1;
    data[1] = kind as u8;
    data[2..18].copy_from_slice(&account);
    data[34..50].copy_from_slice(object);
    data[66] = 1;
    data
}

/// The same of a row that scans find: its name is its object.
fn scanned(kind: Kind, account: [u8; 16], name: &[u8]) -> [u8; 67] {
    bound(kind, account, name[16..32].try_into().expect("16 bytes"))
}

fn open(key: &Key, place: &[u8; 67], row: &[u8]) -> Option<Vec<u8>> {
    let mut derived = [0; 48];
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&row[1..25]).finalize_xof().fill(&mut derived);
    let (content, tag) = row[41..].split_last_chunk::<16>()?;
    let mut content = content.to_vec();
    let cipher = XChaCha20Poly1305::new_from_slice(&derived[..32]).ok()?;
    let nonce = XNonce::try_from(&row[1..25]).ok()?;
    let tag = Tag::from(*tag);
    let opened = cipher.decrypt_inout_detached(&nonce, place, content.as_mut_slice().into(), &tag);
    opened.ok()?;
    let length = u32::from_le_bytes(content[1..5].try_into().ok()?);
    content.drain(..5);
    content.truncate(usize::try_from(length).ok()?);
    Some(content)
}
