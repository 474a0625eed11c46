//! P5: what is stored outside a seal is the list of ARCHITECTURE.md ("What can be read outside a
//! seal"), and this test holds the code to it: every file of a used data directory, every row of
//! the store and every byte of the key files must be something that the list has. Anything new
//! fails here first, and is then either sealed or added to the list with a reason.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use common::everything;
use common::{Server, copy, rows};

/// Panics when a file or folder is not what it should be.
type Check = fn(&Path);

/// The files and folders of a data directory, and what checks their content.
const FILES: &[(&str, Check)] = &[
    ("audit.heads", audit_heads),
    ("backups", backup_journal),
    ("db", folder),
    ("db/format", format_file),
    ("db/lock", empty),
    ("db/rows", folder),
    ("db/rows/blobs", empty_folder),
    ("db/rows/conf", database_settings),
    // its rows are looked at one by one
    ("db/rows/db", anything),
    ("db/rows/snap.*", anything),
    // there while nobody has the database open
    ("db/rows/whole", empty),
    ("db/witness", witness),
    ("erased", signed_words),
    ("host.key", host_key),
    ("host.key.next", host_key),
    ("host.key.old-*", host_key),
    ("key-backups", signed_words),
    ("keys", folder),
    ("keys/*.keys", key_file),
    ("tls", folder),
    ("tls/ca.key", private_key),
    ("tls/ca.pem", certificate),
    ("tls/cert.json", certificate_names),
    ("tls/cert.key", private_key),
    ("tls/cert.pem", certificate),
];

/// The one row that is no sealed row: the number of the last group of changes, of 8 bytes.
const GROUP_ROW: &[u8] = b"group";
/// Bytes of a row around its padded content: version, nonce, commitment, tag.
const ROW_FRAME: usize = 1 + 24 + 16 + 16;
/// The first byte of every sealed row.
const ROW_VERSION: u8 = 1;

#[test]
fn only_what_is_listed_is_outside_a_seal() {
    let mut server = Server::new();
    let used = everything::run(&mut server);
    server.add_user("zacharias");
    server.done(&["user", "delete", "zacharias", "--yes"], "");
    back_up(&server);
    server.stop();
    // with its own certificate, so that everything is there
    server.start(&[]);
    server.done(&["health"], "");
    assert!(
        server
            .files()
            .iter()
            .any(|file| file.ends_with("admin.sock"))
    );
    server.stop();
    let data = server.data();
    let mut seen = vec![false; FILES.len()];
    // while the host key is being replaced, and afterwards
    common::interrupt_rotation(&server);
    every_file_is_listed(&server, &mut seen);
    server.done(&["host-key", "rotate"], "");
    every_file_is_listed(&server, &mut seen);
    for ((pattern, _), seen) in FILES.iter().zip(seen) {
        assert!(seen || *pattern == "db/rows/snap.*", "{pattern} is no more");
    }
    // opening a database may change it
    copy(&data.join("db/rows"), &server.beside("rows"));
    let database = rows(&server.beside("rows"));
    assert_eq!(database.tree_names().len(), 1, "all rows are in one table");
    let (names, values) = every_row_is_sealed(&database);
    assert!(names.len() > 60, "{} rows are too few", names.len());
    names_tell_only_kinds(&names);
    rows_share_nothing(&values);
    no_hash_of_a_plaintext(&data, &used);
}

fn every_file_is_listed(server: &Server, seen: &mut [bool]) {
    for file in server.files() {
        let name = file.to_str().expect("a name of ours is ASCII");
        let row = FILES.iter().position(|(pattern, _)| is_like(name, pattern));
        let row = row.unwrap_or_else(|| panic!("{name} is not on the list"));
        seen[row] = true;
        (FILES[row].1)(&server.data().join(&file));
    }
}

/// Makes a backup of rows and one of key files, and looks at all that they consist of.
fn back_up(server: &Server) {
    for place in ["rows-backup", "keys-backup"] {
        fs::create_dir(server.beside(place)).expect("a folder");
    }
    let (rows, keys) = (server.beside("rows-backup"), server.beside("keys-backup"));
    let place = |path: &Path| path.to_str().expect("a name").to_owned();
    server.done(&["backup", "--to", &place(&rows)], "");
    server.done(&["backup", "keys", "--to", &place(&keys)], "");
    let mut found = Vec::new();
    common::walk(&rows, &mut found);
    let (mut packs, mut names) = (0, Vec::new());
    for path in found {
        let name = path.strip_prefix(&rows).expect("below it");
        match name.to_str().expect("a name of ours is ASCII") {
            "lock" => empty(&path),
            "packs" | "backups" => folder(&path),
            "tmp" => empty_folder(&path),
            "erased" => signed_words(&path),
            name if name.starts_with("backups/") => signed_words(&path),
            name if name.starts_with("packs/") => {
                packs += 1;
                names.extend(pack(&path));
            }
            name => panic!("{name} is not on the list"),
        }
    }
    assert!(packs > 0 && names.len() > 60, "{packs} packs, {names:?}");
    names.sort_unstable();
    names_tell_only_kinds(&names);
    let mut found = Vec::new();
    common::walk(&keys, &mut found);
    assert_eq!(found.len(), 1);
    // The contents of key files, each of which is looked at as such.
    signed_words(&found[0]);
}

/// Rows as they are stored; gives their names.
fn pack(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("a file");
    let mut rest = bytes.strip_prefix(b"sealdav pack 1\n").expect("its line");
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_at(36);
        let (length, after) = after.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("4 bytes"));
        let (value, after) = after.split_at(usize::try_from(length).expect("small"));
        assert_eq!(value.first(), Some(&ROW_VERSION), "not sealed");
        assert!(is_padme(value.len() - ROW_FRAME), "{length}");
        names.push(name.to_vec());
        rest = after;
    }
    names
}

/// Lines of a fixed word, and then numbers, hexadecimal digits, the id of a backup or a path.
fn signed_words(path: &Path) {
    const WORDS: &[&str] = &[
        "sealdav", "id", "time", "store", "rows", "pack", "mirror", "signed", "erased", "backup",
        "made", "expires", "key", "audit", "heads", "chain", "accounts", "files", "backups", "-",
    ];
    let text = text(path);
    for word in text.lines().flat_map(|line| line.split([' ', ','])) {
        let stamp = word.len() == 21 && word.contains("Z-") && word.contains('T');
        let fine =
            WORDS.contains(&word) || is_hex(word) || stamp || word.ends_with(".sealdav-keys");
        assert!(fine, "{word} in {}", path.display());
    }
    assert!(
        text.lines()
            .last()
            .is_some_and(|line| line.starts_with("signed "))
    );
}

/// When backups were made and where to.
fn backup_journal(path: &Path) {
    let text = text(path);
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [good, tried, at, failure] = fields[..] else {
            panic!("{line}")
        };
        assert!(good.parse::<u64>().is_ok() && tried.parse::<u64>().is_ok());
        assert!(at.ends_with("rows-backup") && failure.is_empty(), "{line}");
    }
}

fn is_like(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((begin, end)) => name
            .strip_prefix(begin)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
            }),
    }
}

fn every_row_is_sealed(database: &sled::Db) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for row in database.iter() {
        let (name, value) = row.expect("a readable row");
        if name == GROUP_ROW {
            assert_eq!(value.len(), 8);
            continue;
        }
        assert_eq!(name.len(), 36, "{name:?} is no row's name");
        assert_eq!(value.first(), Some(&ROW_VERSION), "{name:?}");
        let padded = value.len().checked_sub(ROW_FRAME).expect("a whole row");
        assert!(is_padme(padded), "{padded} bytes are no padded size");
        assert!(value.len() <= sealdav::limits::ROW_BYTES);
        names.push(name.to_vec());
        values.push(value.to_vec());
    }
    (names, values)
}

/// Whether only the first few bits of a size are set, as Padmé leaves them; at least 64.
fn is_padme(size: usize) -> bool {
    if size < 64 {
        return false;
    }
    let exponent = size.ilog2();
    let kept = exponent.ilog2() + 1;
    size.trailing_zeros() >= exponent - kept
}

#[test]
fn padded_sizes_are_few() {
    let small: Vec<usize> = (0..130).filter(|size| is_padme(*size)).collect();
    assert_eq!(small, [64, 72, 80, 88, 96, 104, 112, 120, 128]);
    let between = (0x8000..0x10000).filter(|size| is_padme(*size)).count();
    assert_eq!(between, 16);
}

/// A name: which rows are of one kind in one collection, which of these are of objects of one family,
/// which one it is, and its chunk.
fn names_tell_only_kinds(names: &[Vec<u8>]) {
    let mut prefixes: HashMap<&[u8], usize> = HashMap::new();
    let mut chunks: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
    let (mut families, mut own) = (HashMap::new(), HashMap::new());
    for name in names {
        let (row, _) = name.split_at(32);
        let (family, rest) = row.split_at(22);
        assert_eq!(*families.entry(&row[16..22]).or_insert(family), family);
        assert_eq!(*own.entry(rest).or_insert(row), row, "two rows share it");
        *prefixes.entry(&name[..16]).or_default() += 1;
        let chunk = u32::from_be_bytes(name[32..].try_into().expect("4 bytes"));
        chunks.entry(&name[16..32]).or_default().push(chunk);
    }
    assert!(prefixes.len() > 10, "{} kinds of rows", prefixes.len());
    assert!(families.len() < own.len(), "there is no family");
    // rows of one thing are numbered from 0; the number of anything else is 0
    for (row, mut numbers) in chunks {
        numbers.sort_unstable();
        let count = u32::try_from(numbers.len()).expect("few chunks");
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "{row:?}");
    }
}

/// P4: not even the same text in two calendars makes two rows alike: no eight bytes are in two.
fn rows_share_nothing(values: &[Vec<u8>]) {
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    for (row, value) in values.iter().enumerate() {
        for eight in value[1..].windows(8) {
            let first = *seen.entry(eight).or_insert(row);
            assert_eq!(first, row, "two rows share {eight:?}");
        }
    }
}

/// P4: no unkeyed hash by which a thief could tell that a known text is there.
fn no_hash_of_a_plaintext(data: &Path, used: &everything::Used) {
    use sha2::Digest;
    let mut needles = Vec::new();
    for (name, text) in used.canaries.iter() {
        needles.push((
            name,
            blake3::hash(text.as_bytes()).as_bytes()[..12].to_vec(),
        ));
        needles.push((name, sha2::Sha256::digest(text.as_bytes())[..12].to_vec()));
        needles.push((name, sha2::Sha512::digest(text.as_bytes())[..12].to_vec()));
    }
    let mut paths = Vec::new();
    common::walk(data, &mut paths);
    for path in paths.iter().filter(|path| path.is_file()) {
        let bytes = fs::read(path).expect("a readable file");
        let known: HashMap<&[u8], &str> = needles
            .iter()
            .map(|(name, hash)| (hash.as_slice(), *name))
            .collect();
        for part in bytes.windows(12) {
            // most of the database is zeros
            if part[0] != 0 {
                assert_eq!(known.get(part), None, "a hash is in {}", path.display());
            }
        }
    }
}

fn folder(path: &Path) {
    assert!(path.is_dir(), "{}", path.display());
}

fn empty_folder(path: &Path) {
    assert_eq!(fs::read_dir(path).expect("a folder").count(), 0);
}

fn anything(path: &Path) {
    assert!(path.is_file(), "{}", path.display());
}

fn empty(path: &Path) {
    assert_eq!(fs::read(path).expect("a file"), b"");
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("a text")
}

/// The store's format number and epoch.
fn format_file(path: &Path) {
    let text = text(path);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["sealdav store", "version 2"]);
    let epoch = lines[2].strip_prefix("epoch ").expect("an epoch");
    assert!(epoch.len() == 16 && is_hex(epoch), "{text}");
    assert_eq!(lines.len(), 3);
}

/// The numbers of the last two groups of changes, each with its complement.
fn witness(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    assert!(matches!(bytes.len(), 16 | 32), "{}", bytes.len());
    for slot in bytes.chunks(16) {
        let (number, complement) = slot.split_at(8);
        let flipped: Vec<u8> = number.iter().map(|byte| !byte).collect();
        assert_eq!(complement, flipped);
    }
}

/// What the database says of itself.
fn database_settings(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    let (text, checksum) = bytes.split_at(bytes.len() - 4);
    let text = std::str::from_utf8(text).expect("lines of text");
    let known = ["segment_size: ", "use_compression: ", "version: "];
    let names: Vec<&str> = text
        .lines()
        .map(|line| line.split_inclusive(' ').next().unwrap_or(""))
        .collect();
    assert_eq!(names, known);
    assert_ne!(checksum, [0; 4]);
}

/// Of each chain of the audit trail: whose it is, how many pages and changes, a keyed sum, a hash.
fn audit_heads(path: &Path) {
    let text = text(path);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines[0].join(" "), "sealdav audit heads 1");
    let hex = |word: &str, digits| word.len() == digits && is_hex(word);
    let number = |word: &str| word.parse::<u64>().is_ok();
    let [name, epoch, group] = lines[1][..] else {
        panic!("{text}")
    };
    assert!(name == "store" && hex(epoch, 16) && number(group), "{text}");
    let (last, chains) = lines[2..].split_last().expect("a signature");
    assert!(chains.len() >= 2, "administration and an account: {text}");
    for chain in chains {
        let ["chain", account, page, changes, heads, previous] = chain[..] else {
            panic!("{text}")
        };
        assert!(
            hex(account, 32) && number(page) && number(changes),
            "{text}"
        );
        assert!(
            (heads == "-" || hex(heads, 64)) && hex(previous, 64),
            "{text}"
        );
    }
    let ["signed", public, signature] = last[..] else {
        panic!("{text}")
    };
    assert!(hex(public, 64) && hex(signature, 128), "{text}");
}

fn host_key(path: &Path) {
    let text = text(path);
    assert!(
        text.len() == 65 && is_hex(text.trim_end()),
        "{}",
        text.len()
    );
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn pem(path: &Path, label: &str) {
    let text = text(path);
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    for block in text.split_inclusive(&end) {
        let Some(block) = Some(block.trim()).filter(|block| !block.is_empty()) else {
            continue;
        };
        assert!(
            block.starts_with(&begin) && block.ends_with(&end),
            "{block}"
        );
    }
}

fn certificate(path: &Path) {
    pem(path, "CERTIFICATE");
}

fn private_key(path: &Path) {
    pem(path, "PRIVATE KEY");
}

/// Under which names the server is reached, and until when the certificate holds.
fn certificate_names(path: &Path) {
    let json: serde_json::Value = serde_json::from_str(&text(path)).expect("JSON");
    let fields: Vec<&String> = json.as_object().expect("an object").keys().collect();
    for field in fields {
        assert!(CERTIFICATE_FIELDS.contains(&field.as_str()), "{field}");
    }
}

const CERTIFICATE_FIELDS: &[&str] = &["names", "ends_seconds"];

/// The bytes of a key file, taken one field after the other. Written by hand from the formats'
/// descriptions, so that a new field cannot hide behind the program's own reader.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// A number as postcard writes it: seven bits a byte, the lowest first.
    fn number(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return value;
            }
        }
        panic!("a number without an end");
    }

    fn sealed(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.number()).expect("it is small");
        let bytes = self.take(length);
        assert_eq!(bytes.first(), Some(&ROW_VERSION), "not sealed");
        assert!(is_padme(bytes.len() - ROW_FRAME), "{length}");
        bytes
    }
}

/// Of each slot: its id, its kind, what its kind needs to be opened, and sealed bytes.
fn key_file(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    let content = bytes.strip_prefix(b"sealdav key slots\n\x01");
    let mut fields = Fields(content.expect("the first line"));
    let changes = fields.number();
    assert!((1..100).contains(&changes), "{changes} changes");
    let slots = fields.number();
    assert!((1..100).contains(&slots), "{slots} slots");
    let mut kinds = Vec::new();
    for _ in 0..slots {
        let _id = fields.take(16);
        kinds.push(fields.number());
        match kinds.last() {
            Some(0) => {
                let _salt = fields.take(16);
                let (memory_kib, passes) = (fields.number(), fields.number());
                assert_eq!((memory_kib, passes), (19_456, 1));
            }
            Some(1 | 2) => {
                let _tag = fields.take(16);
            }
            other => panic!("a slot of the unknown kind {other:?}"),
        }
        fields.sealed();
        // of a password there is nothing to tell
        match fields.0.first() {
            Some(0) => {
                fields.take(1);
            }
            _ => {
                fields.sealed();
            }
        }
    }
    let _mark = fields.take(16);
    assert!(fields.0.is_empty(), "{} bytes more", fields.0.len());
    kinds.sort_unstable();
    let expected = [0, 1, 1, 1, 2];
    assert_eq!(kinds, expected, "password, app passwords, recovery key");
}
