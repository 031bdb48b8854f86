//! A plugin's configuration bytes -> its role and settings, with every problem at once.
//!
//! One module plays three roles; the JSON that `peerway render` writes into each plugin says which.
//! Numbers may be integral floats, since `google.protobuf.Struct` makes doubles of them.

use std::fmt;

use crate::discovery::Excerpt;
use crate::json::{Fields, Json, Needed};
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
    /// How long after Envoy's start a server that was never read is waited for, in milliseconds.
    pub startup_wait_ms: u64,
    /// Whether clients are asked for certificates, and those that they show are verified.
    pub client_certificates: bool,
    /// Which of equally good servers is asked first.
    pub affinity: Affinity,
}

impl Router {
    /// Whether servers that were never read are still waited for, `started_ms` being Envoy's start. A
    /// start in the future was read off a clock that was set back since: nobody waits for that.
    pub fn is_starting(&self, started_ms: u64, now_ms: u64) -> bool {
        now_ms.checked_sub(started_ms).is_some_and(|age_ms| age_ms < self.startup_wait_ms)
    }

    /// Whether a map that was last renewed at `renewed_ms` counts as none.
    pub fn is_expired(&self, renewed_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(renewed_ms) > self.stale_after_ms
    }
}

/// Which of equally good servers is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
        let only = |problem: String| ConfigError(vec![problem]);
        let json: Json<'_> =
            serde_json::from_slice(bytes).map_err(|error| only(error.to_string()))?;
        let fields = json.object().map_err(|needed| only(needed.to_string()))?;
        let mut object = Object { fields, problems: Vec::new() };
        let config = match &*object.text("role") {
            "router" => Self::Router(Router {
                servers: object.servers(),
                stale_after_ms: object.milliseconds("staleAfterMs", 1),
                startup_wait_ms: object.milliseconds("startupWaitMs", 0),
                client_certificates: object.flag("clientCertificates"),
                affinity: object.affinity(),
            }),
            "witness" => Self::Witness,
            "fetcher" => Self::Fetcher(Fetcher {
                servers: object.servers(),
                cluster: object.text("cluster"),
                authority: object.text("authority"),
                poll_interval_ms: object.milliseconds("pollIntervalMs", 1),
                probe_timeout_ms: object.milliseconds("probeTimeoutMs", 1),
                discovery_timeout_ms: object.milliseconds("discoveryTimeoutMs", 1),
            }),
            role => {
                let found = Excerpt::of(role.as_bytes());
                return Err(only(format!("role: {found}, known are router, witness and fetcher")));
            }
        };
        object.unknown_fields();
        if object.problems.is_empty() { Ok(config) } else { Err(ConfigError(object.problems)) }
    }
}

/// A configuration that is being read; what is wrong with it is gathered.
struct Object<'a> {
    fields: Fields<'a>,
    problems: Vec<String>,
}

impl<'a> Object<'a> {
    /// A field as `read` reads it; nothing of it where it cannot be read.
    fn take<T: Default>(&mut self, name: &str, read: fn(Json<'a>) -> Result<T, Needed>) -> T {
        read(self.fields.take(name)).unwrap_or_else(|needed| {
            self.problems.push(format!("{name}: {needed}"));
            T::default()
        })
    }

    fn text(&mut self, name: &str) -> String {
        let text = self.take(name, Json::text);
        if text.is_empty() {
            self.problems.push(format!("{name}: empty"));
        }
        text.to_string()
    }

    /// `false` where there is none.
    fn flag(&mut self, name: &str) -> bool {
        self.take(name, Json::flag)
    }

    fn affinity(&mut self) -> Affinity {
        match &*self.take("affinity", Json::text) {
            "connection" => Affinity::Connection,
            "" | "none" => Affinity::None,
            other => {
                let found = Excerpt::of(other.as_bytes());
                self.problems.push(format!("affinity: {found}, known are connection and none"));
                Affinity::None
            }
        }
    }

    fn milliseconds(&mut self, name: &str, least: u32) -> u64 {
        const MAX_MS: u32 = 86_400_000;
        let value = self.take(name, Json::number);
        if (f64::from(least)..=f64::from(MAX_MS)).contains(&value) && value.fract() == 0.0 {
            return value as u64;
        }
        self.problems.push(format!("{name}: no whole number from {least} to {MAX_MS}"));
        0
    }

    fn servers(&mut self) -> Vec<Server> {
        let read = self.take("servers", |json| json.list(server)).unwrap_or_default();
        if read.is_empty() || read.len() > MAX_SERVERS {
            let found = read.len();
            self.problems
                .push(format!("servers: {found} of them, 1 to {MAX_SERVERS} are possible"));
        }
        let mut servers: Vec<Server> = Vec::with_capacity(read.len());
        for (at, (server, unknown)) in read.into_iter().enumerate() {
            if let Some(unknown) = unknown {
                self.unknown_field(&format!("servers[{at}].{unknown}"));
            }
            // What it is joined with in a header, and what could not be in one.
            let in_header = |byte: u8| byte.is_ascii_graphic() && byte != b',';
            if server.address.is_empty() || !server.address.bytes().all(in_header) {
                let found = Excerpt::of(server.address.as_bytes());
                self.problems.push(format!("servers[{at}].address: {found} is no ip:port"));
            }
            let same = |o: &&Server| o.address == server.address || o.name == server.name;
            for other in servers.iter().filter(same) {
                let found = Excerpt::of(other.name.as_bytes());
                self.problems.push(format!("servers[{at}]: same name or address as {found}"));
            }
            servers.push(server);
        }
        servers
    }

    /// What was not taken.
    fn unknown_fields(&mut self) {
        let names: Vec<_> = self.fields.names().map(ToOwned::to_owned).collect();
        names.iter().for_each(|name| self.unknown_field(name));
    }

    fn unknown_field(&mut self, name: &str) {
        self.problems.push(format!("{}: unknown field", Excerpt::of(name.as_bytes())));
    }
}

/// One server, and the name of a field that no server has.
fn server(json: Json<'_>) -> Result<(Server, Option<String>), Needed> {
    let mut fields = json.object()?;
    let name = fields.take("name").text()?.to_string();
    let address = fields.take("address").text()?.to_string();
    let unknown = fields.names().next().map(ToOwned::to_owned);
    Ok((Server { name, address }, unknown))
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_not_waited_for() {
        let router = Router {
            servers: Vec::new(),
            stale_after_ms: 10_000,
            startup_wait_ms: 30_000,
            client_certificates: false,
            affinity: Affinity::None,
        };
        let starting = |now_ms| router.is_starting(100_000, now_ms);
        assert_eq!([99_999, 100_000, 129_999, 130_000].map(starting), [false, true, true, false]);
        let expired = |now_ms| router.is_expired(100_000, now_ms);
        assert_eq!([99_999, 110_000, 110_001].map(expired), [false, false, true]);
    }

    #[test]
    fn each_role_is_read() {
        assert_eq!(Config::from_json(br#"{"role":"witness"}"#), Ok(Config::Witness));
        let router = br#"{"role":"router","servers":[{"name":"a","address":"127.0.0.1:1"}],"staleAfterMs":10000.0,"startupWaitMs":0,"affinity":"connection","clientCertificates":true}"#;
        let server = Server { name: "a".into(), address: "127.0.0.1:1".into() };
        let affinity = Affinity::Connection;
        let expected = Router {
            servers: vec![server],
            stale_after_ms: 10_000,
            startup_wait_ms: 0,
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
            "pollIntervalMs: no whole number",
            "probeTimeoutMs: no whole number",
        ] {
            assert!(error.contains(culprit), "{culprit} in {error}");
        }
    }

    #[test]
    fn unknown_fields_and_roles_are_refused() {
        for bad in [
            r#"{"role":"witness","x":1}"#,
            r#"{"role":"witness","servers":[]}"#,
            r#"{"role":"king"}"#,
            r#"{"role":7}"#,
            "[]",
            "{}",
            "",
            "\u{0}",
        ] {
            assert!(Config::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
