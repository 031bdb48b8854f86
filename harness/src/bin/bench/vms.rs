//! The linear memories of the wasm VMs of a process, as its memory map shows them: V8 reserves
//! gigabytes of address space for each, in which only the memory itself can be read and written.

use anyhow::{Context, Result};

/// Resident kB of each linear memory, largest first.
pub(crate) fn linear_memories_kb(process: u32) -> Result<Vec<u64>> {
    let smaps = std::fs::read_to_string(format!("/proc/{process}/smaps")).context("no smaps")?;
    Ok(in_smaps(&smaps))
}

/// One mapping: its addresses, whether it can be written, its resident kB.
struct Mapping {
    start: u64,
    end: u64,
    writable: bool,
    resident_kb: u64,
}

fn in_smaps(smaps: &str) -> Vec<u64> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        if let Some(mapping) = header(line) {
            mappings.push(mapping);
        } else if let (Some(kb), Some(last)) = (resident(line), mappings.last_mut()) {
            last.resident_kb = kb;
        }
    }
    let followed_by_a_guard = mappings.iter().zip(mappings.iter().skip(1)).filter(|(one, next)| {
        let reserved = !next.writable && next.end - next.start >= GUARD_BYTES;
        one.writable && reserved && one.end == next.start
    });
    let mut sizes: Vec<u64> = followed_by_a_guard.map(|(one, _)| one.resident_kb).collect();
    sizes.sort_unstable_by(|left, right| right.cmp(left));
    sizes
}

/// `7f0000000000-7f0000010000 rw-p …`
fn header(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let writable = words.next()?.starts_with("rw");
    Some(Mapping { start: hex(start)?, end: hex(end)?, writable, resident_kb: 0 })
}

fn resident(line: &str) -> Option<u64> {
    line.strip_prefix("Rss:")?.split_whitespace().next()?.parse().ok()
}

/// Nothing else leaves that much behind itself.
const GUARD_BYTES: u64 = 1 << 30;
