//! Envoy in front of servers, as users run it: a control-plane file through `peerway render` into a
//! real Envoy with the real module; or the same configuration with Peerway taken out, to compare.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Protocol};
use crate::envoy::Envoy;
use crate::pki::Identity;
use crate::process::{log_tail, wait_until};

mod builder;
mod hosts;
mod plain;
mod rival;

pub use builder::Builder;

/// A running Envoy before some servers. It ends when this is dropped.
#[derive(Debug)]
pub struct Balancer {
    envoy: Envoy,
    listen: SocketAddr,
    fetcher: SocketAddr,
    admin: SocketAddr,
    trusted_pem: String,
    folder: PathBuf,
    builder: Builder,
    /// Removed with the balancer.
    _temporary: Option<TempDir>,
}

impl Balancer {
    /// Where clients go.
    pub fn url(&self) -> String {
        format!("https://{}", self.listen)
    }

    /// The same without the scheme.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// A client of it.
    pub fn client(&self, token: &str, protocol: Protocol) -> Result<Client> {
        Ok(Client::new(self.listen, &self.trusted_pem, protocol)?.with_token(token))
    }

    /// A client of it that shows a certificate and sends no token.
    pub fn client_with(&self, identity: &Identity, protocol: Protocol) -> Result<Client> {
        Client::with_certificate(self.listen, &self.trusted_pem, protocol, identity)
    }

    /// A client of it that says nothing about itself.
    pub fn stranger(&self, protocol: Protocol) -> Result<Client> {
        Client::new(self.listen, &self.trusted_pem, protocol)
    }

    /// A client of the loopback listener.
    pub fn fetcher(&self) -> Result<Client> {
        Client::plain(self.fetcher, Protocol::Http1)
    }

    /// The process behind it.
    pub fn envoy(&mut self) -> &mut Envoy {
        &mut self.envoy
    }

    /// What certificates Envoy has, as its admin interface tells.
    pub async fn certificates(&self) -> Result<Value> {
        self.envoy.admin(Method::GET, "/certs").await?.json()
    }

    /// The folder with the rendered configuration and the logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `/map` says.
    pub async fn map(&self) -> Result<Value> {
        self.fetcher()?.get("/map").await?.json()
    }

    /// Waits until `/map` fulfils a condition.
    pub async fn wait_for_map(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<()> {
        let holds = async || self.map().await.is_ok_and(|map| condition(&map));
        wait_until(what, MAP_LIMIT, holds).await?;
        workers_have_the_map().await;
        Ok(())
    }

    /// Waits until every server is confirmed.
    pub async fn all_confirmed(&self) -> Result<()> {
        self.wait_for_map("every server is confirmed", |map| {
            let servers = map["servers"].as_array();
            servers.is_some_and(|servers| servers.iter().all(|s| s["state"] == "confirmed"))
        })
        .await
    }

    /// Waits until a server has a state.
    pub async fn server_is(&self, name: &str, state: &str) -> Result<()> {
        self.wait_for_map(&format!("{name} is {state}"), |map| {
            let servers = map["servers"].as_array().into_iter().flatten();
            servers.filter(|server| server["name"] == name).any(|server| server["state"] == state)
        })
        .await
    }

    /// Gives the fetcher another token.
    pub fn set_fetcher_token(&mut self, token: &str) -> Result<()> {
        token.clone_into(&mut self.builder.token);
        self.builder.write_token(&self.folder)
    }

    /// Sets a field of the control-plane file, renders again, and has another Envoy take over from
    /// the one that runs (a hot restart). Returns when that one has drained and ended. The balancer
    /// must be `replaceable`.
    pub async fn reconfigure(&mut self, field: &str, value: Value) -> Result<()> {
        self.builder = self.builder.clone().setting(field, value);
        self.builder.render(&self.folder, [self.listen, self.fetcher, self.admin])?;
        self.envoy.replace(&self.folder, self.builder.workers).await
    }

    /// Peerway's own counters, without Envoy's prefix.
    pub async fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let prefix = "wasmcustom.";
        let stats = self.envoy.stats(&format!("{prefix}peerway_")).await?;
        let bare = |(name, value): (String, u64)| (name.replacen(prefix, "", 1), value);
        Ok(stats.into_iter().map(bare).collect())
    }

    /// The file of the access log, a JSON object a line. Envoy writes it with a delay.
    pub fn access_log_file(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// The access log so far, a JSON object a request.
    pub fn access_log(&self) -> Result<Vec<Value>> {
        let log = std::fs::read_to_string(self.access_log_file()).unwrap_or_default();
        let line = |line| serde_json::from_str(line).context("a line of the access log is no JSON");
        log.lines().map(line).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(temporary) = &mut self._temporary {
                temporary.disable_cleanup(true);
            }
            tell(&log_tail(&self.folder.join("envoy.log")));
            tell(&format!("the balancer's files are kept in {}", self.folder.display()));
        }
    }
}

#[expect(clippy::print_stderr, reason = "what a test runner shows with the failed test alone")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// Returns when every worker decides by the map that was published last. A worker takes it on its own
/// tick, every 50 ms, and nothing shows from outside that it did.
pub async fn workers_have_the_map() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// A server that comes back is read within a poll interval and the time of its own start.
const MAP_LIMIT: Duration = Duration::from_secs(20);
