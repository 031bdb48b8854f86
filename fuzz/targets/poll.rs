//! Hands libFuzzer's bytes to the check `poll`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("poll", data)));
