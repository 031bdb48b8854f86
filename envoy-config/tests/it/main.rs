//! The `peerway` command as people run it: the built binary, on saved documents, real logs and
//! small servers of its own.
#![cfg(test)]

mod cli_docs;
mod completions;
mod map;
mod rehearse;
mod run;
