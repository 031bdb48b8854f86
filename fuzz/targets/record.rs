//! Hands libFuzzer's bytes to the check `record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("record", data)));
