//! A message behind the header that snapshots and records have, so that a fuzzer gets past its checksum.

use std::hash::{BuildHasher, Hasher};

/// Format 1: one byte, then the checksum of `message`, little endian, then `message`.
pub(crate) fn sealed(message: &[u8]) -> Vec<u8> {
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(message);
    [&[1], hasher.finish().to_le_bytes().as_slice(), message].concat()
}
