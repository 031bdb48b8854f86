//! A plugin's configuration bytes -> its role and settings, with every problem at once.
//!
//! One module plays three roles; the JSON that `peerway render` writes into each plugin says which.
//! Numbers may be integral floats, since `google.protobuf.Struct` makes doubles of them.

use std::fmt;

use serde::Deserialize;

use crate::servers::{MAX_SERVERS, Server};

/// What a plugin is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// Decides on each request of the traffic listener.
    Router(Router),
    /// Weighs each attempt's answer on the `peers` clusters.
    Witness,
    /// Polls the servers and publishes the map.
    Fetcher(Fetcher),
}

/// Settings of the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// The configured servers.
    pub servers: Vec<Server>,
    /// Age from which a map that was not renewed counts as none, in milliseconds.
    pub stale_after_ms: u64,
    /// Whether clients are asked for certificates, and those that they show are verified.
    pub client_certificates: bool,
    /// Which of equally good servers is asked first.
    pub affinity: Affinity,
}

/// Which of equally good servers is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affinity {
    /// For all requests of one connection the same.
    Connection,
    /// They take turns.
    #[default]
    None,
}

/// Settings of the fetcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetcher {
    /// The configured servers.
    pub servers: Vec<Server>,
    /// Envoy cluster by which each server can be asked by address.
    pub cluster: String,
    /// `:authority` of its requests.
    pub authority: String,
    /// Time from one look at a server to the next, in milliseconds.
    pub poll_interval_ms: u64,
    /// How long `/readyz` may take, in milliseconds.
    pub probe_timeout_ms: u64,
    /// How long a discovery answer may take, in milliseconds.
    pub discovery_timeout_ms: u64,
}

#[derive(Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", deny_unknown_fields)]
enum Raw {
    #[serde(rename_all = "camelCase")]
    Router {
        servers: Vec<RawServer>,
        stale_after_ms: f64,
        #[serde(default)]
        affinity: Affinity,
        #[serde(default)]
        client_certificates: bool,
    },
    Witness {},
    #[serde(rename_all = "camelCase")]
    Fetcher {
        servers: Vec<RawServer>,
        cluster: String,
        authority: String,
        poll_interval_ms: f64,
        probe_timeout_ms: f64,
        discovery_timeout_ms: f64,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    name: String,
    address: String,
}

/// Every problem of a configuration, each with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin configuration: {}", self.0.join("; "))
    }
}

impl Config {
    /// Reads the configuration of one plugin.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let raw =
            serde_json::from_slice(bytes).map_err(|error| ConfigError(vec![error.to_string()]))?;
        let mut problems = Problems::default();
        let config = match raw {
            Raw::Witness {} => Self::Witness,
            Raw::Router { servers, stale_after_ms, affinity, client_certificates } => {
                Self::Router(Router {
                    servers: problems.servers(servers),
                    stale_after_ms: problems.milliseconds("staleAfterMs", stale_after_ms),
                    affinity,
                    client_certificates,
                })
            }
            Raw::Fetcher {
                servers,
                cluster,
                authority,
                poll_interval_ms,
                probe_timeout_ms,
                discovery_timeout_ms,
            } => Self::Fetcher(Fetcher {
                servers: problems.servers(servers),
                cluster: problems.text("cluster", cluster),
                authority: problems.text("authority", authority),
                poll_interval_ms: problems.milliseconds("pollIntervalMs", poll_interval_ms),
                probe_timeout_ms: problems.milliseconds("probeTimeoutMs", probe_timeout_ms),
                discovery_timeout_ms: problems
                    .milliseconds("discoveryTimeoutMs", discovery_timeout_ms),
            }),
        };
        if problems.0.is_empty() { Ok(config) } else { Err(ConfigError(problems.0)) }
    }
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn servers(&mut self, raw: Vec<RawServer>) -> Vec<Server> {
        if raw.is_empty() || raw.len() > MAX_SERVERS {
            self.0.push(format!("servers: {} of them, 1 to {MAX_SERVERS} are possible", raw.len()));
        }
        for (at, server) in raw.iter().enumerate() {
            // What it is joined with in a header, and what could not be in one.
            let in_header = |byte: u8| byte.is_ascii_graphic() && byte != b',';
            if server.address.is_empty() || !server.address.bytes().all(in_header) {
                self.0.push(format!("servers[{at}].address: {:?} is no ip:port", server.address));
            }
            let earlier = raw.iter().take(at);
            for other in earlier.filter(|o| o.address == server.address || o.name == server.name) {
                self.0.push(format!("servers[{at}]: same name or address as {:?}", other.name));
            }
        }
        raw.into_iter().map(|RawServer { name, address }| Server { name, address }).collect()
    }

    fn milliseconds(&mut self, field: &str, value: f64) -> u64 {
        const MAX_MS: f64 = 86_400_000.0;
        if (1.0..=MAX_MS).contains(&value) && value.fract() == 0.0 {
            return value as u64;
        }
        self.0.push(format!("{field}: {value}, a whole number from 1 to {MAX_MS} is needed"));
        0
    }

    fn text(&mut self, field: &str, value: String) -> String {
        if value.is_empty() {
            self.0.push(format!("{field}: empty"));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn each_role_is_read() {
        assert_eq!(Config::from_json(br#"{"role":"witness"}"#), Ok(Config::Witness));
        let router = br#"{"role":"router","servers":[{"name":"a","address":"127.0.0.1:1"}],"staleAfterMs":10000.0,"affinity":"connection","clientCertificates":true}"#;
        let server = Server { name: "a".into(), address: "127.0.0.1:1".into() };
        let affinity = Affinity::Connection;
        let expected = Router {
            servers: vec![server],
            stale_after_ms: 10_000,
            affinity,
            client_certificates: true,
        };
        assert_eq!(Config::from_json(router), Ok(Config::Router(expected)));
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let bad = br#"{"role":"fetcher","servers":[{"name":"a","address":"x,y"},{"name":"a","address":"b:1"}],"cluster":"",
            "authority":"k","pollIntervalMs":0,"probeTimeoutMs":1.5,"discoveryTimeoutMs":1000}"#;
        let error = Config::from_json(bad).unwrap_err().to_string();
        for culprit in [
            "servers[0].address",
            "servers[1]: same",
            "cluster: empty",
            "pollIntervalMs: 0",
            "probeTimeoutMs: 1.5",
        ] {
            assert!(error.contains(culprit), "{culprit} in {error}");
        }
    }

    #[test]
    fn unknown_fields_and_roles_are_refused() {
        for bad in [r#"{"role":"witness","x":1}"#, r#"{"role":"king"}"#, "{}", "", "\u{0}"] {
            assert!(Config::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
