//! Hands libFuzzer's bytes to the check `plugin`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("plugin", data)));
