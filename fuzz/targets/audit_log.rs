//! Hands libFuzzer's bytes to the check `audit_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(peerway_fuzz::run("audit_log", data)));
