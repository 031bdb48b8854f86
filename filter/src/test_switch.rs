//! What a test needs to do to the module from inside: kill a VM, spoil the map, stop the polling. Only
//! with the feature `test-panic`, never in what ships; without it every function here does nothing.

#[cfg(feature = "test-panic")]
use crate::{host, shared};

#[cfg(feature = "test-panic")]
const HALTED: &str = "peerway.test.halted";

/// Panics if `path` asks `role` to: `/peerway-test-panic/<role>`.
pub(crate) fn panic_if_asked(path: &[u8], role: &str) {
    #[cfg(feature = "test-panic")]
    #[expect(clippy::panic, reason = "this is what the feature is for")]
    if path == format!("/peerway-test-panic/{role}").as_bytes() {
        panic!("asked to by {}", path.escape_ascii());
    }
    #[cfg(not(feature = "test-panic"))]
    let _ = (path, role);
}

/// On the fetcher's listener: `/peerway-test-panic/garble-map` announces a map that is none,
/// `/peerway-test-panic/halt` ends all polling.
pub(crate) fn fetcher(path: &[u8]) {
    #[cfg(feature = "test-panic")]
    match path {
        b"/peerway-test-panic/garble-map" => {
            shared::set_map(b"no map");
            shared::set_beat(u64::MAX, host::now_ms());
        }
        b"/peerway-test-panic/halt" => drop(host::set_shared_data(HALTED, b"yes", None)),
        _ => {}
    }
    #[cfg(not(feature = "test-panic"))]
    let _ = path;
}

/// Whether a test ended all polling.
pub(crate) fn is_halted() -> bool {
    #[cfg(feature = "test-panic")]
    return host::shared_data(HALTED).0.is_some();
    #[cfg(not(feature = "test-panic"))]
    false
}
