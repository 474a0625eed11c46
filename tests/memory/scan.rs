//! The writable memory of another process, searched page by page.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use crate::common::canary::{Found, Search};

const PAGE: usize = 4096;
/// Bytes that are looked at together.
const PIECE: usize = 256 * PAGE;
/// Longer than anything that is sought.
const OVERLAP: usize = 512;

/// What was found, and how many bytes were looked at.
pub struct Scanned {
    /// Which needle, and where: "heap", "stack" and so on.
    pub found: Found,
    /// The same, with the place in memory and what stands around it; for the message of a failure.
    pub places: Vec<String>,
    /// Bytes of pages that held anything.
    pub bytes: usize,
}

/// Looks through all memory that a process may write, whose own it therefore is.
///
/// # Errors
/// The system does not show it.
pub fn scan(process: u32, search: &Search) -> io::Result<Scanned> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let mut scanned = Scanned {
        found: Found::new(),
        places: Vec::new(),
        bytes: 0,
    };
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let writable = words[1].contains('w') && words[1].starts_with('r');
        let name = words.get(5).copied().unwrap_or("anonymous");
        if writable && !name.starts_with("[vv") {
            let (from, to) = words[0].split_once('-').expect("a range");
            let number = |text| u64::from_str_radix(text, 16).expect("an address");
            region(
                &memory,
                number(from)..number(to),
                name,
                search,
                &mut scanned,
            );
        }
    }
    Ok(scanned)
}

fn region(
    memory: &File,
    range: std::ops::Range<u64>,
    name: &str,
    search: &Search,
    scanned: &mut Scanned,
) {
    let mut bytes = vec![0; PIECE + OVERLAP];
    for at in range.clone().step_by(PIECE) {
        let length =
            usize::try_from(range.end - at).map_or(bytes.len(), |left| left.min(bytes.len()));
        let bytes = &mut bytes[..length];
        if memory.read_exact_at(bytes, at).is_err() {
            // a mapping may be gone since the list was made
            continue;
        }
        // pages of zeros are passed over; a needle across a border lies in the overlap
        for start in (0..length).step_by(PAGE) {
            let end = length.min(start + PAGE + OVERLAP);
            let page = &bytes[start..end];
            if page.iter().all(|byte| *byte == 0) {
                continue;
            }
            scanned.bytes += PAGE.min(page.len());
            let found = search.bytes(page);
            if !found.is_empty() && scanned.places.len() < 40 {
                let names: Vec<String> = found
                    .iter()
                    .map(|(what, how)| format!("{what} ({how})"))
                    .collect();
                let from = range.start;
                scanned.places.push(format!(
                    "{name} {from:x}: {:x}: {}",
                    at + start as u64,
                    names.join(", ")
                ));
            }
            scanned.found.extend(found);
        }
    }
}
