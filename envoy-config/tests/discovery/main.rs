//! `explain`, `diff` and `merge` as people run them: the built binary, on real servers' saved
//! documents, on small servers of its own, and on what is none of it.
#![cfg(test)]

#[path = "../it/run.rs"]
mod run;

mod diff;
mod explain;
mod listener;
mod merge;
mod sources;
