//! Hands libFuzzer's bytes to the check `map_page`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("map_page", data)));
