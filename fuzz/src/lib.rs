//! Everything of Peerway that reads bytes from outside, and what must hold for any of them.
//!
//! ```text
//! libFuzzer's bytes ── targets/NAME.rs ──┐
//! seeds/NAME/*      ── tests/replay.rs ──┴──▶ checks::NAME ──▶ the function itself, and assertions
//! ```
//!
//! A check panics where something does not hold; that is all that a fuzzer looks for. An input has its
//! parts on lines of their own, so that a seed can be read and written by people. A crash that was
//! found becomes a seed, and is replayed by every `cargo test` from then on.

mod accept;
mod aggregated;
mod audit_log;
mod certificate;
mod control_plane;
mod input;
mod map_page;
mod merge;
mod openapi;
mod plain;
mod plugin;
mod poll;
mod preflight;
mod record;
mod request;
mod request_info;
mod sealed;
mod snapshot;
mod testimony;

/// A check: the bytes that somebody else chose go in.
pub type Check = fn(&[u8]);

/// Every check under the name of its fuzz target and of its folder of seeds.
pub const CHECKS: [(&str, Check); 17] = [
    ("accept", accept::check),
    ("aggregated", aggregated::check),
    ("audit_log", audit_log::check),
    ("certificate", certificate::check),
    ("control_plane", control_plane::check),
    ("map_page", map_page::check),
    ("merge", merge::check),
    ("openapi", openapi::check),
    ("plain", plain::check),
    ("plugin", plugin::check),
    ("poll", poll::check),
    ("preflight", preflight::check),
    ("record", record::check),
    ("request", request::check),
    ("request_info", request_info::check),
    ("snapshot", snapshot::check),
    ("testimony", testimony::check),
];

/// Hands `data` to the check of this name; whether there is one.
pub fn run(name: &str, data: &[u8]) -> bool {
    let check = CHECKS.iter().find(|(known, _)| *known == name);
    check.map(|(_, check)| check(data)).is_some()
}
