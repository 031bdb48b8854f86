//! One small description of a control plane → the complete Envoy configuration that puts Peerway in
//! front of it.
//!
//! ```text
//! control-plane.yaml ── section.rs, values.rs ──▶ ControlPlane ── render.rs, templates/ ──▶ Rendered
//!   (text)               every problem at once     (valid)         (pure)                  │
//!                                                               write(dir) or drift(dir) ◀─┘
//! ```
//!
//! What Envoy is told, and why, stands beside each setting in `templates/` and so in what is rendered.
//! Knows nothing of the machine that Envoy will run on: paths go through as they are given.
//!
//! ```
//! let file = include_str!("../examples/control-plane.yaml");
//! let control_plane = envoy_config::ControlPlane::from_yaml(file)?;
//! let rendered = envoy_config::render(&control_plane);
//! assert!(rendered.file("envoy.yaml").is_some());
//! # Ok::<(), envoy_config::Problems>(())
//! ```

mod control_plane;
mod lanes;
pub mod preflight;
mod problems;
mod reach;
pub mod rehearsal;
mod render;
mod rendered;
pub mod running;
mod section;
mod template;
mod values;

pub use control_plane::ControlPlane;
pub use problems::{Problem, Problems};
pub use reach::{Identity, Reach};
pub use render::render;
pub use rendered::{Drift, Rendered};
