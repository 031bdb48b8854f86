//! The renderer from outside: what is rendered, and the `peerway` command.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which say what they expect by failing"
)]

mod command;
mod rendering;
