//! A real Envoy on a rendered configuration: a directory with `envoy.yaml` becomes a process that
//! is ready, with its log and its admin interface at hand. Knows nothing of what is configured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::client::{Answer, Client, Protocol, Request};
use crate::parts::{self, Part};
use crate::process::Process;

/// A running Envoy. It is killed when this is dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: Client,
}

impl Envoy {
    /// Starts Envoy on `<directory>/envoy.yaml`, whose admin interface must be at `admin`, with so
    /// many workers, and waits until it serves. Relative paths in the configuration start at
    /// `directory`. It logs to `<directory>/envoy.log`, whose end is in the error when it does not
    /// come up.
    pub async fn start(directory: &Path, admin: SocketAddr, workers: u32) -> Result<Self> {
        // Several Envoys run side by side: without hot restart they share nothing.
        Self::start_as(directory, admin, workers, &["--disable-hot-restart"]).await
    }

    /// The same, and another one can take over from it.
    pub async fn start_replaceable(
        directory: &Path,
        admin: SocketAddr,
        workers: u32,
    ) -> Result<Self> {
        // What the two share is found by this number, of which each pair needs its own.
        let base = admin.port().to_string();
        Self::start_as(directory, admin, workers, &["--base-id", &base]).await
    }

    /// Has another Envoy, on what `<directory>/envoy.yaml` is now, take over listeners, and waits
    /// until the one before has drained and ended. Once only.
    pub async fn replace(&mut self, directory: &Path, workers: u32) -> Result<()> {
        let base = self.admin.address().port().to_string();
        let epoch = ["--base-id", &base, "--restart-epoch", "1"];
        let next = Self::start_as(directory, self.admin.address(), workers, &epoch).await?;
        let mut before = std::mem::replace(self, next);
        before.process.end(START_LIMIT).await
    }

    async fn start_as(
        directory: &Path,
        admin: SocketAddr,
        workers: u32,
        restart: &[&str],
    ) -> Result<Self> {
        let mut command = command(directory).await?;
        command.args(restart).args(["--concurrency", &workers.to_string()]);
        command.args(["--drain-time-s", DRAIN_SECONDS, "--log-level", "info"]);
        command.args(["--parent-shutdown-time-s", PARENT_SECONDS]);
        // Access logs are read while Envoy runs; by itself it writes them every ten seconds.
        command.args(["--file-flush-interval-msec", "100"]);
        let process = Process::start("envoy", &command, &directory.join("envoy.log"))?;
        let admin = Client::plain(admin, Protocol::Http1)?;
        let mut envoy = Self { process, admin };
        let admin = &envoy.admin;
        let is_live = async || {
            let ready = admin.get("/ready").await;
            ready.is_ok_and(|ready| ready.text().trim() == "LIVE")
        };
        envoy.process.wait_until("ready", START_LIMIT, is_live).await?;
        Ok(envoy)
    }

    /// Ends it as an operator would and waits for its end.
    pub async fn stop(mut self) -> Result<()> {
        self.process.terminate(STOP_LIMIT).await
    }

    /// Its process: signals, id, log file.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All that it logged so far.
    pub fn log(&self) -> Result<String> {
        let path = self.process.log();
        let log = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// All counters and gauges whose name begins with `prefix`, by name.
    pub async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.admin(Method::GET, "/stats").await?.text();
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        // Histograms and texts have no such value.
        let named = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(named.collect())
    }

    /// The counter or gauge of this name; 0 when it is not there, because Envoy makes most of them
    /// when they first count.
    pub async fn counter(&self, name: &str) -> Result<u64> {
        Ok(self.stats(name).await?.get(name).copied().unwrap_or(0))
    }

    /// Sets all counters to 0.
    pub async fn reset_counters(&self) -> Result<()> {
        self.admin(Method::POST, "/reset_counters").await?;
        Ok(())
    }

    /// The configuration as it runs.
    pub async fn config_dump(&self) -> Result<Value> {
        self.admin(Method::GET, "/config_dump").await?.json()
    }

    /// Asks the admin interface for anything; an answer that is not 200 is an error.
    pub async fn admin(&self, method: Method, path: &str) -> Result<Answer> {
        let answer = self.admin.send(Request::new(method, path)).await.context("envoy's admin")?;
        let (status, text) = (answer.status, answer.text());
        ensure!(status == StatusCode::OK, "envoy's admin: {path}: {status}: {text}");
        Ok(answer)
    }
}

/// Has Envoy read `<directory>/envoy.yaml` as it would at its start. What it has to say against it
/// is in the error.
pub async fn validate(directory: &Path) -> Result<()> {
    let mut command = tokio::process::Command::from(command(directory).await?);
    command.args(["--disable-hot-restart", "--mode", "validate"]);
    command.args(["--log-level", "warning"]).kill_on_drop(true);
    let output = tokio::time::timeout(START_LIMIT, command.output()).await;
    let output = output.context("envoy --mode validate hangs")?.context("cannot run envoy")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let place = directory.display();
    ensure!(output.status.success(), "envoy refuses the configuration in {place}:\n{said}");
    Ok(())
}

async fn command(directory: &Path) -> Result<Command> {
    let mut command = Command::new(parts::ensure(&Part::envoy()).await?);
    command.args(["--config-path", "envoy.yaml"]).current_dir(directory);
    Ok(command)
}

/// Compiling a wasm module for each worker, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Nobody waits for connections to drain in a test.
const DRAIN_SECONDS: &str = "1";
/// When an Envoy that another has taken over from ends.
const PARENT_SECONDS: &str = "5";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::free_port;

    const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions.filters";

    /// A listener that answers by itself, with a counter of its own.
    fn configuration(admin: u16, listener: u16) -> String {
        format!(
            "
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {listener}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          '@type': {EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          http_filters:
          - name: router
            typed_config:
              '@type': {EXTENSIONS}.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes: [{{match: {{prefix: /}}, direct_response: {{status: 204}}}}]
"
        )
    }

    #[tokio::test]
    async fn two_envoys_serve_side_by_side_and_count() {
        let mut running = Vec::new();
        for _ in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let (admin, listener) = (free_port().unwrap(), free_port().unwrap());
            let yaml = configuration(admin, listener);
            std::fs::write(folder.path().join("envoy.yaml"), yaml).unwrap();
            validate(folder.path()).await.unwrap();
            let admin = SocketAddr::from(([127, 0, 0, 1], admin));
            let envoy = Envoy::start(folder.path(), admin, 2).await.unwrap();
            running.push((envoy, SocketAddr::from(([127, 0, 0, 1], listener)), folder));
        }
        for (envoy, listener, _) in &running {
            let client = Client::plain(*listener, Protocol::Http2).unwrap();
            assert_eq!(client.get("/any").await.unwrap().status, StatusCode::NO_CONTENT);
            let name = "http.front.downstream_rq_2xx";
            assert_eq!(envoy.counter(name).await.unwrap(), 1);
            assert_eq!(envoy.stats("http.front.downstream_rq").await.unwrap()[name], 1);
            envoy.reset_counters().await.unwrap();
            assert_eq!(envoy.counter(name).await.unwrap(), 0);
            assert_eq!(envoy.counter("no.such.counter").await.unwrap(), 0);
            assert!(envoy.config_dump().await.unwrap()["configs"].is_array());
            assert!(envoy.log().unwrap().contains("starting main dispatch loop"));
        }
        for (envoy, listener, _folder) in running {
            envoy.stop().await.unwrap();
            let gone = Client::plain(listener, Protocol::Http1).unwrap().get("/any").await;
            assert!(gone.is_err());
        }
    }

    #[tokio::test]
    async fn wrong_configuration_is_refused_with_envoys_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let yaml = "static_resources: {listenerz: []}";
        std::fs::write(folder.path().join("envoy.yaml"), yaml).unwrap();
        let refusal = validate(folder.path()).await.unwrap_err();
        assert!(refusal.to_string().contains("listenerz"), "{refusal}");
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let error = Envoy::start(folder.path(), admin, 1).await.unwrap_err();
        assert!(format!("{error:#}").contains("listenerz"), "{error:#}");
    }
}
