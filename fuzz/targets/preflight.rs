//! Hands libFuzzer's bytes to the check `preflight`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("preflight", data)));
