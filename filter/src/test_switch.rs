//! What a test needs to do to the module from inside: kill a VM, spoil the map. Only with the feature
//! `test-panic`, never in what ships; without it every function here does nothing.

#[cfg(feature = "test-panic")]
use crate::{host, shared};

/// Panics if `path` asks `role` to: `/peerway-test-panic/<role>`.
pub(crate) fn panic_if_asked(path: &[u8], role: &str) {
    #[cfg(feature = "test-panic")]
    #[expect(clippy::panic, reason = "this is what the feature is for")]
    if path.ends_with(format!("/peerway-test-panic/{role}").as_bytes()) {
        panic!("asked to by {}", path.escape_ascii());
    }
    #[cfg(not(feature = "test-panic"))]
    let _ = (path, role);
}

/// On the fetcher's listener: `/peerway-test-panic/garble-map` announces a map that is none.
pub(crate) fn garble_map_if_asked(path: &[u8]) {
    #[cfg(feature = "test-panic")]
    if path == b"/peerway-test-panic/garble-map" {
        shared::set_map(b"no map");
        shared::set_beat(u64::MAX, host::now_ms());
    }
    #[cfg(not(feature = "test-panic"))]
    let _ = path;
}
