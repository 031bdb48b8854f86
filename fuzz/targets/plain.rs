//! Hands libFuzzer's bytes to the check `plain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("plain", data)));
