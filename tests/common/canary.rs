//! Canaries: random texts that stand for what must not be found, and the search for them in
//! every encoding that a program might store or log them in.
//!
//! The search looks for every piece of `PIECE` characters of a canary, so that neither a fold
//! nor the border of a chunk in its middle hides it: one of the halves still holds a piece.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Characters of a canary: two pieces and a little.
pub const LENGTH: usize = 24;
/// Characters of a piece: 80 bits, which sealed bytes do not hold by chance.
pub const PIECE: usize = 10;

/// A new random text of lower-case letters and digits, beginning with a letter.
pub fn random() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    let mut text: String = bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    text.replace_range(..1, "k");
    text
}

/// Canaries by what they stand for.
#[derive(Debug, Default, Clone)]
pub struct Canaries(BTreeMap<&'static str, String>);

impl Canaries {
    /// The canary of a name, made when it is first asked for.
    pub fn get(&mut self, name: &'static str) -> String {
        self.0.entry(name).or_insert_with(random).clone()
    }

    /// A text that somebody else made.
    pub fn know(&mut self, name: &'static str, text: &str) {
        self.0.insert(name, text.to_owned());
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, text)| (*name, text.as_str()))
    }
}

/// The ways in which a text may be written.
pub const ENCODINGS: &[&str] = &[
    "raw",
    "upper case",
    "hex",
    "HEX",
    "base64",
    "base64 +1",
    "base64 +2",
    "base64url",
    "base64url +1",
    "base64url +2",
    "UTF-16 LE",
    "UTF-16 BE",
    "%xx",
    "%XX",
    "percent-encoded",
    "JSON",
];

/// Writes a text in one of the ways. Of base64, only the digits that depend on nothing else.
pub fn encode(text: &str, encoding: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let each = |write: &dyn Fn(u8) -> String| -> Vec<u8> {
        bytes
            .iter()
            .flat_map(|byte| write(*byte).into_bytes())
            .collect()
    };
    match encoding {
        "raw" => bytes.to_vec(),
        "upper case" => text.to_uppercase().into_bytes(),
        "hex" => each(&|byte| format!("{byte:02x}")),
        "HEX" => each(&|byte| format!("{byte:02X}")),
        "base64" => sixty_four(bytes, 0, &STANDARD),
        "base64 +1" => sixty_four(bytes, 1, &STANDARD),
        "base64 +2" => sixty_four(bytes, 2, &STANDARD),
        "base64url" => sixty_four(bytes, 0, &URL_SAFE),
        "base64url +1" => sixty_four(bytes, 1, &URL_SAFE),
        "base64url +2" => sixty_four(bytes, 2, &URL_SAFE),
        "UTF-16 LE" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "UTF-16 BE" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        "%xx" => each(&|byte| format!("%{byte:02x}")),
        "%XX" => each(&|byte| format!("%{byte:02X}")),
        "percent-encoded" => each(&|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        }),
        "JSON" => text
            .encode_utf16()
            .flat_map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => vec![byte],
                _ => format!("\\u{unit:04x}").into_bytes(),
            })
            .collect(),
        _ => panic!("an unknown encoding: {encoding}"),
    }
}

/// `bytes` as they stand in a longer text whose earlier bytes number `before` modulo three.
fn sixty_four(bytes: &[u8], before: usize, engine: &impl base64::Engine) -> Vec<u8> {
    let padded = [&vec![0; before][..], bytes].concat();
    let digits = engine.encode(&padded).into_bytes();
    let begin = [0, 2, 3][before];
    digits[begin..padded.len() * 8 / 6].to_vec()
}

/// What was found: which canary, in which encoding.
pub type Found = BTreeSet<(String, &'static str)>;

struct Needle {
    canary: String,
    encoding: &'static str,
    bytes: Vec<u8>,
}

/// A prepared search for many canaries in all encodings.
pub struct Search {
    needles: Vec<Needle>,
    by_start: HashMap<[u8; 8], Vec<usize>>,
    /// Whether some needle begins with these two bytes: spares most lookups.
    starts: Vec<bool>,
}

impl Search {
    /// For all of them.
    pub fn new(canaries: &Canaries) -> Self {
        let mut search = Search {
            needles: Vec::new(),
            by_start: HashMap::new(),
            starts: vec![false; 65_536],
        };
        for (name, text) in canaries.iter() {
            let letters: Vec<char> = text.chars().collect();
            for piece in letters.windows(PIECE.min(letters.len())) {
                let piece: String = piece.iter().collect();
                for encoding in ENCODINGS {
                    search.add(name, encoding, encode(&piece, encoding));
                }
            }
        }
        search
    }

    /// Looks for a key too: for each piece of 16 of its bytes.
    pub fn know_key(&mut self, name: &str, key: &[u8]) {
        for piece in key.windows(16) {
            self.add(name, "bytes", piece.to_vec());
        }
    }

    fn add(&mut self, canary: &str, encoding: &'static str, bytes: Vec<u8>) {
        let start: [u8; 8] = bytes[..8].try_into().expect("a needle has 8 bytes");
        self.starts[usize::from(u16::from_le_bytes([start[0], start[1]]))] = true;
        self.by_start
            .entry(start)
            .or_default()
            .push(self.needles.len());
        self.needles.push(Needle {
            canary: canary.to_owned(),
            encoding,
            bytes,
        });
    }

    /// What is in these bytes.
    pub fn bytes(&self, haystack: &[u8]) -> Found {
        let mut found = Found::new();
        for (at, pair) in haystack.windows(2).enumerate() {
            if !self.starts[usize::from(u16::from_le_bytes([pair[0], pair[1]]))] {
                continue;
            }
            let Some(start) = haystack.get(at..at + 8) else {
                break;
            };
            let Some(candidates) = self.by_start.get(start) else {
                continue;
            };
            for needle in candidates.iter().map(|number| &self.needles[*number]) {
                if haystack[at..].starts_with(&needle.bytes) {
                    found.insert((needle.canary.clone(), needle.encoding));
                }
            }
        }
        found
    }

    /// What is in a folder: in the files below it and in their names.
    pub fn folder(&self, folder: &Path) -> Found {
        let mut paths = Vec::new();
        super::walk(folder, &mut paths);
        assert!(!paths.is_empty(), "an empty folder was searched");
        let mut found = Found::new();
        for path in paths {
            let name = path.strip_prefix(folder).expect("it is below");
            found.extend(self.bytes(name.as_os_str().as_encoded_bytes()));
            if path.is_file() {
                found.extend(self.bytes(&fs::read(&path).expect("a readable file")));
            }
        }
        found
    }
}
