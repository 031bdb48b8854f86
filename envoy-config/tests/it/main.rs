//! The renderer and the `peerway` command as people run them: the built binary, on saved documents,
//! real logs and small servers of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which say what they expect by failing"
)]

mod cli_docs;
mod command;
mod completions;
mod map;
mod rehearse;
mod rendering;
mod run;
