//! Panics on request, so that tests can kill a VM: only with the feature `test-panic`, never in what
//! ships.

/// Panics if the feature is on and `path` asks `role` to.
pub(crate) fn on(path: &[u8], role: &str) {
    #[cfg(feature = "test-panic")]
    #[expect(clippy::panic, reason = "this is what the feature is for")]
    if path == format!("/peerway-test-panic/{role}").as_bytes() {
        panic!("asked to by {}", path.escape_ascii());
    }
    #[cfg(not(feature = "test-panic"))]
    let _ = (path, role);
}
