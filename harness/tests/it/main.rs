//! Everything real in one test binary: control planes, and Envoy in front of them.

mod cases;
mod control_plane;
mod parts;
mod simulated;
