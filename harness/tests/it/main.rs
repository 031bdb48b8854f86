//! Everything real in one test binary: control planes, and Envoy in front of them.

mod cases;
mod control_plane;
mod discovery_faults;
mod load;
mod parts;
mod rendered;
mod rig;
mod same_bytes;
mod simulated;
mod tidy;
mod wasm_module;
