//! A log of real requests, and servers that do not list the same -> what would have gone wrong.
//!
//! ```text
//! log lines -> log --> Request --> skew (what each server lists) --> Outcome --> tally --> Report
//! ```
//!
//! A request is judged by its API alone, three times: behind a plain balancer, with kube-apiserver's
//! own mixed version proxy behind that, and with Peerway, by the decision that its filter would have
//! taken. Knows no files and no terminal: that is the `peerway` command's.

mod counted;
pub mod log;
pub mod skew;
pub mod tally;
mod unpacked;

pub use unpacked::unpacked;
