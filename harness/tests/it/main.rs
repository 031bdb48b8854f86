//! Everything real in one test binary: control planes, and Envoy in front of them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which say what they expect by failing"
)]

mod affinity;
mod aggregated;
mod bad_input;
mod built_in_proxy;
mod cases;
mod chaos;
mod clients;
mod command;
mod control_plane;
mod discovery_faults;
mod drain;
mod faults;
mod identity;
mod load;
mod memory;
mod merged;
mod openapi;
mod parts;
mod preflight;
mod readers;
mod rendered;
mod replies;
mod rig;
mod same_bytes;
mod shutdown;
mod simulated;
mod tidy;
mod transparency;
mod upgrade;
mod wasm_module;
