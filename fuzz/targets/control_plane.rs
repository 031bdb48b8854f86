//! Hands libFuzzer's bytes to the check `control_plane`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("control_plane", data)));
