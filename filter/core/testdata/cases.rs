//! One table of what is decided for requests, for several runners: the core natively and as wasm,
//! `peerway explain`, and the filter in real Envoy before real servers.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `cases.json`.
///
/// # Panics
///
/// When it is not what is described here.
pub fn table() -> Table {
    #[expect(clippy::unwrap_used, reason = "for tests, which say what they expect by failing")]
    serde_json::from_str(include_str!("cases.json")).unwrap()
}

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What is known of servers, by a name that cases refer to.
    pub planes: BTreeMap<String, Plane>,
    /// What is asked, and what comes of it.
    pub cases: Vec<Case>,
}

/// Servers, and what is known of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plane {
    /// In the order of the configuration.
    pub servers: Vec<Server>,
    /// What has become of the map; as it should be if nothing is said.
    pub map: Option<Map>,
    /// How real Envoy and real servers come to it; nothing if they are not made to.
    pub envoy: Option<String>,
}

/// Written as a list of the three.
#[derive(Debug, Deserialize)]
pub struct Server {
    /// As configured.
    pub name: String,
    /// Whose document was last read of it, below `discovery`; nothing if none ever was.
    pub version: Option<String>,
    /// How the map shows it.
    pub standing: Standing,
}

/// How a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as in the core")]
pub enum Standing {
    Confirmed,
    Unknown,
    Late,
    Gone,
    /// Gone, because it answers nothing.
    Silent,
}

/// What may be wrong with a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Map {
    /// There is none.
    #[serde(rename = "none")]
    Missing,
    /// It is no longer renewed.
    #[serde(rename = "expired")]
    Expired,
    /// Not all servers were read yet, and there is time left to read them.
    #[serde(rename = "starting")]
    Starting,
    /// The same, and no server was.
    #[serde(rename = "starting, none")]
    StartingWithout,
}

/// A GET, and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Before which servers.
    pub plane: String,
    /// Path and query.
    pub target: String,
    /// The `accept` line; empty for none.
    #[serde(default)]
    pub accept: String,
    /// The action, as `peerway explain` names it.
    pub decision: String,
    /// Who is asked, first to last, in turn 0.
    #[serde(default)]
    pub order: Vec<String>,
    /// Whether `x-kubernetes-peer-proxied` is set.
    #[serde(default)]
    pub stamp: bool,
    /// The reason, as `x-peerway-reason` has it.
    pub reason: Option<String>,
    /// What a client of real servers gets; nothing where it is not asked.
    pub status: Option<u16>,
    /// Whom the answer comes from, any of them; anybody if empty.
    #[serde(default)]
    pub from: Vec<String>,
}
