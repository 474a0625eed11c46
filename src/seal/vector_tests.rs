//! Test vectors: what sealed data looks like, for ever. `tests/vectors/seal.json` was written by
//! this test with SEALDAV_WRITE_VECTORS=1; a difference means that data of before cannot be read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::row::{Kind, Place, Stored, seal};
use super::*;
use crate::ambient::{Ambient, OsRandom, UnixMillis};
use crate::ids::{AccountId, CollectionId, ObjectId, Secret};

/// What the file holds; all bytes in hexadecimal.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Vectors {
    rows: Vec<Row>,
    /// Names of rows of one collection, by kind.
    names: BTreeMap<String, String>,
    etag: String,
    digest: String,
    generated: Vec<Secretly>,
    boxed: Boxes,
    slots: Vec<SlotVector>,
    host_signature: String,
}

/// A sealed row: opens to `content`, or is refused with an error of this name.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    what: String,
    key: String,
    object: u8,
    revision: u64,
    last: bool,
    sealed: String,
    opens: Result<String, String>,
}

/// A generated secret with what is derived from it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Secretly {
    text: String,
    tag: String,
    public: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Boxes {
    private: String,
    sealed: String,
    content: String,
}

/// A slot as it stands in a key file, with what opens it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SlotVector {
    what: String,
    secret: String,
    slot: String,
    key: String,
    read_only: bool,
    expires: Option<i64>,
}

const HOST: [u8; 32] = [0x68; 32];
const ACCOUNT: AccountId = AccountId::from_bytes([0xac; 16]);
const CONTENT: &[u8] = b"BEGIN:VCALENDAR";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

fn array(text: &str) -> [u8; 32] {
    unhex(text).try_into().unwrap()
}

fn host() -> HostKey {
    HostKey::read(&hex(&HOST)).unwrap()
}

fn place(object: u8, revision: u64, last: bool) -> Place {
    let collection = CollectionId::from_bytes([0xc0; 16]);
    let object = ObjectId::from_bytes([object; 16]);
    Place {
        revision,
        last,
        ..Place::single(Kind::Body, ACCOUNT, collection, object)
    }
}

fn opened(row: &Row) -> Result<String, String> {
    let key = CollectionKey::read(&array(&row.key)).rows();
    let place = place(row.object, row.revision, row.last);
    let stored = Stored::read(unhex(&row.sealed));
    stored
        .open(&key, &place)
        .map(|content| hex(&content))
        .map_err(|error| format!("{error:?}"))
}

/// A valid row, and each way of it to be wrong.
fn rows() -> Vec<Row> {
    let key = [0x11; 32];
    let row = |what: &str, sealed: &[u8]| Row {
        what: what.to_owned(),
        key: hex(&key),
        object: 1,
        revision: 7,
        last: true,
        sealed: hex(sealed),
        opens: Err(String::new()),
    };
    let rows_key = CollectionKey::read(&key).rows();
    let with = |content: &[u8]| {
        seal(&rows_key, &place(1, 7, true), content, &[0x22; 24])
            .bytes()
            .to_vec()
    };
    let sealed = with(CONTENT);
    let mut all = vec![
        row("valid", &sealed),
        row("valid, empty", &with(b"")),
        row("valid, of more than the smallest size", &with(&[0x33; 200])),
    ];
    let end = sealed.len() - 1;
    for (what, at) in [
        ("version", 0),
        ("nonce", 1),
        ("commitment", 25),
        ("ciphertext", 41),
        ("padding", end - 16),
        ("tag", end),
    ] {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        all.push(row(&format!("a bit of the {what} flipped"), &flipped));
    }
    all.push(row("cut by a byte", &sealed[..end]));
    all.push(row("cut to its head", &sealed[..41]));
    all.push(row("nothing", &[]));
    let sealed = || row("", &sealed);
    all.push(Row {
        what: "of another object".into(),
        object: 2,
        ..sealed()
    });
    all.push(Row {
        what: "of an older revision".into(),
        revision: 6,
        ..sealed()
    });
    all.push(Row {
        what: "not the last chunk".into(),
        last: false,
        ..sealed()
    });
    all.push(Row {
        what: "under another key: the commitment tells".into(),
        key: hex(&[0x12; 32]),
        ..sealed()
    });
    for row in &mut all {
        row.opens = opened(row);
    }
    all
}

fn slots() -> Vec<SlotVector> {
    let (host, ambient) = (host(), Ambient::system());
    let key = AccountKey(key::KeyBytes([0x44; 32]));
    let vector = |what: &str, secret: &str, slot: &Slot, terms: Terms| SlotVector {
        what: what.to_owned(),
        secret: secret.to_owned(),
        slot: hex(&postcard::to_allocvec(slot).unwrap()),
        key: hex(&key.0.0),
        read_only: terms.access == Access::ReadOnly,
        expires: terms.expires.map(|end| end.0),
    };
    let password = Secret::new("Gr\u{fc}n und hoch".into());
    let cost = Argon2Cost { kib: 64, passes: 1 };
    let slot = Slot::for_password(ACCOUNT, &key, &password, cost, &host, &ambient);
    let mut all = vec![vector(
        "password",
        password.expose(),
        &slot,
        Terms::default(),
    )];
    let ends = Terms {
        access: Access::ReadOnly,
        expires: Some(UnixMillis(1_800_000_000_000)),
    };
    for (what, kind, terms) in [
        ("recovery key", SecretKind::RecoveryKey, Terms::default()),
        ("app password", SecretKind::AppPassword, ends),
    ] {
        let secret = Generated::random(kind, &mut OsRandom);
        let whole = ToWrap::Whole(&key);
        let slot = Slot::for_generated(ACCOUNT, whole, terms, &secret, &host, &ambient);
        all.push(vector(what, secret.to_text().expose(), &slot, terms));
    }
    all
}

fn generated(texts: &[String]) -> Vec<Secretly> {
    let derived = |text: &String| {
        let secret = Generated::read(text).unwrap();
        Secretly {
            text: text.clone(),
            tag: hex(&secret.tag_and_key().0),
            public: hex(&postcard::to_allocvec(&secret.pair().public()).unwrap()),
        }
    };
    texts.iter().map(derived).collect()
}

/// The vectors: what is drawn at random comes from `old`, where there is one.
fn vectors(old: Option<Vectors>) -> Vectors {
    let names = LastingKey::read(&[0x55; 32]).names();
    let kinds = [
        Kind::Head,
        Kind::Summary,
        Kind::Body,
        Kind::ObjectProperties,
    ];
    let name = |kind: Kind| hex(names.row(kind, &[0x66; 16], 9, 2).bytes());
    let of_family = ObjectId::of_family(names.family(130), [0x66; 8]);
    let mut all: BTreeMap<_, _> = kinds.map(|kind| (format!("{kind:?}"), name(kind))).into();
    let body = names.row(Kind::Body, of_family.bytes(), 130, 2);
    all.insert("Body of a family".to_owned(), hex(body.bytes()));
    let etags = LastingKey::read(&[0x55; 32]).etags();
    let object = ObjectId::from_bytes([0x66; 16]);
    let (texts, boxed, slots) = match old {
        Some(old) => {
            let texts = old.generated.into_iter().map(|secret| secret.text);
            (texts.collect(), old.boxed, old.slots)
        }
        None => {
            let text = |kind| {
                let secret = Generated::random(kind, &mut OsRandom).to_text();
                secret.expose().to_owned()
            };
            let pair = PairKey::read(&[0x77; 32]);
            let sealed = pair
                .public()
                .seal(&place(1, 7, true), CONTENT, &Ambient::system());
            let boxed = Boxes {
                private: hex(pair.expose()),
                sealed: hex(sealed.bytes()),
                content: hex(CONTENT),
            };
            let texts = [SecretKind::AppPassword, SecretKind::RecoveryKey].map(text);
            (texts.to_vec(), boxed, slots())
        }
    };
    Vectors {
        rows: rows(),
        names: all,
        etag: hex(&etags.etag(object, 9, CONTENT)),
        digest: hex(&etags.digest(object, 9)),
        generated: generated(&texts),
        boxed,
        slots,
        host_signature: hex(&host().signer().sign(CONTENT)),
    }
}

fn check_slot(vector: &SlotVector) {
    let slot: Slot = postcard::from_bytes(&unhex(&vector.slot)).unwrap();
    let open = |host: &HostKey| match Generated::read(&vector.secret) {
        Some(secret) => slot.open_generated(ACCOUNT, &secret, host),
        None => slot.open_password(ACCOUNT, &Secret::new(vector.secret.clone()), host),
    };
    let content = open(&host()).expect("it opens");
    let SlotKey::Whole(key) = &content.key else {
        panic!("{}: it opens the whole account", vector.what);
    };
    assert_eq!(hex(&key.0.0), vector.key, "{}", vector.what);
    assert_eq!(content.terms.access == Access::ReadOnly, vector.read_only);
    assert_eq!(content.terms.expires.map(|end| end.0), vector.expires);
    let other = HostKey::read(&hex(&[0x69; 32])).unwrap();
    assert!(open(&other).is_err(), "{}: another host key", vector.what);
}

#[test]
fn sealed_data_looks_as_it_always_did() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/seal.json");
    if std::env::var_os("SEALDAV_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vectors(None)).unwrap();
        std::fs::write(&file, text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let read = || serde_json::from_str::<Vectors>(&text).unwrap();
    let stored = read();
    for row in &stored.rows {
        assert_eq!(opened(row), row.opens, "{}", row.what);
        assert_eq!(
            row.opens.is_ok(),
            row.what.starts_with("valid"),
            "{}",
            row.what
        );
    }
    stored.slots.iter().for_each(check_slot);
    let pair = PairKey::read(&array(&stored.boxed.private));
    let boxed = Boxed::read(unhex(&stored.boxed.sealed));
    let content = pair.open(&place(1, 7, true), &boxed).unwrap();
    assert_eq!(hex(&content), stored.boxed.content);
    assert!(verified(
        &host().signer().public(),
        CONTENT,
        &unhex(&stored.host_signature)
    ));
    // And all that is not random comes out again.
    assert_eq!(vectors(Some(read())), stored);
}
