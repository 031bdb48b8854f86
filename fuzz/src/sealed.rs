//! A message behind the header of what lies in shared data, so that a fuzzer gets past its checksum.

use std::hash::{BuildHasher, Hasher};

/// The format in one byte, then the checksum of `message`, little endian, then `message`.
pub(crate) fn sealed(format: u8, message: &[u8]) -> Vec<u8> {
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(message);
    [&[format], hasher.finish().to_le_bytes().as_slice(), message].concat()
}
