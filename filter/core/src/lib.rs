//! What Peerway decides: bytes in, decisions out. No host, no clock, no log, no randomness.
//!
//! ```text
//! :path bytes -> request --> decide --> Decision --> edits --> header edits
//!                              ^
//! discovery bytes -> discovery -> apis -> serving_map <--> snapshot <--> shared data
//!                              ^
//!             tick, answers -> poll -> effects: questions to servers, a map to publish
//!
//! client certificate -> identity -> headers that say who is asking
//!
//! one server's 404 -> testimony -> it may pass | ask the next server
//!
//! method, target -> request_info    Accept -> negotiate    documents -> merge -> one document
//! ```
//!
//! The last line is what a person asks: everything that a server takes a request for, which discovery
//! document it answers with, and what all servers have together.
//!
//! Arrows never turn back: `request` does not know the map, the map does not know `config`, and
//! nothing here knows proxy-wasm. Time is an argument, effects are values, and every byte from a
//! client or a server ends in a value or an error.
//!
//! ```
//! use peerway_core::decide::{Decision, Knowledge, decide};
//! use peerway_core::request::{Target, decoded_path};
//! use peerway_core::servers::Server;
//!
//! let server = |name: &str, address: &str| Server { name: name.into(), address: address.into() };
//! let servers = [server("cp-1", "10.0.0.1:6443"), server("cp-2", "10.0.0.2:6443")];
//! let path = decoded_path(b"/apis/apps/v1/deployments?limit=500").ok_or("bad escape")?;
//!
//! // With no map yet, every server is asked until one knows the API; twice, as some may refuse streams.
//! let decision = decide(Target::of(&path), &servers, Knowledge::NoMap, 0);
//! let Decision::Peers(peers) = decision else { return Err("asked the pool") };
//! assert_eq!(peers.order.len(), 4);
//! # Ok::<(), &str>(())
//! ```

pub mod answer;
pub mod apis;
pub mod cluster;
pub mod config;
pub mod decide;
pub mod discovery;
pub mod edits;
pub mod gauges;
pub mod identity;
mod json;
pub mod lease;
pub mod merge;
pub mod negotiate;
pub mod openapi;
pub mod poll;
pub mod record;
pub mod request;
pub mod request_info;
pub mod servers;
pub mod serving_map;
pub mod snapshot;
mod sorted;
pub mod status_page;
pub mod testimony;
