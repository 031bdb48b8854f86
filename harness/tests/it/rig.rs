//! What several topics need beside the harness: simulated servers under one authority, the fetcher's
//! own settings, and whether a VM of the module died.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, Builder, workers_have_the_map};
use peerway_harness::client::{Client, Protocol};
use peerway_harness::control_plane::FETCHER_TOKEN;
use peerway_harness::pki::{Pki, SERVER_NAMES};
use peerway_harness::process::{free_port, wait_until};
use peerway_harness::simulated::{Discovery, Recorded, SimulatedServer, Simulation};
use serde_json::{Value, json};
use tempfile::TempDir;

/// For what must come, on a machine however busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How many times that what takes a while may take, on a machine that runs other tests, and compiles,
/// beside.
pub(crate) const PATIENCE: u32 = 5;

/// Whether no client asked it, but the fetcher or Envoy's health check.
pub(crate) fn is_ours(request: &Recorded) -> bool {
    let agent = request.header("user-agent").unwrap_or_default();
    agent.starts_with("peerway/") || agent == "Envoy/HC"
}

/// Simulated servers whose certificates come from one authority.
pub(crate) struct SimulatedPlane {
    pub(crate) servers: Vec<SimulatedServer>,
    pub(crate) pki: Pki,
    folder: TempDir,
}

impl SimulatedPlane {
    /// Starts a server for each name and what it lists.
    pub(crate) async fn start(servers: Vec<(&str, Discovery)>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        let identity = pki.serving_authority.serving("simulated", &SERVER_NAMES)?;
        let mut started = Vec::new();
        for (name, discovery) in servers {
            started.push(Simulation::new(name, discovery).start(&identity).await?);
        }
        Ok(Self { servers: started, pki, folder })
    }

    /// Peerway before them.
    pub(crate) fn balancer(&self) -> Builder {
        let of = |server: &SimulatedServer| (server.name().into(), server.address().to_string());
        Builder::of(self.servers.iter().map(of).collect(), &self.pki)
    }

    /// Peerway before them, with these fields in the `fetcher` section of its control-plane file.
    pub(crate) fn fetching(&self, fields: Value) -> Result<(Builder, Listener)> {
        let token = self.folder.path().join("fetcher-token");
        std::fs::write(&token, FETCHER_TOKEN)?;
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut section = json!({"tokenFile": token, "listen": listen});
        let all = section.as_object_mut().zip(fields.as_object());
        let (all, fields) = all.context("the fields are no object")?;
        all.extend(fields.clone());
        let listener = Listener(Client::plain(listen, Protocol::Http1)?);
        Ok((self.balancer().setting("fetcher", section), listener))
    }
}

/// The fetcher's listener where its section was replaced: a balancer only knows its own.
pub(crate) struct Listener(pub(crate) Client);

impl Listener {
    /// What `/map` says.
    pub(crate) async fn map(&self) -> Result<Value> {
        self.0.get("/map").await?.json()
    }

    /// What `/map` says of one server.
    pub(crate) async fn server(&self, name: &str) -> Result<Value> {
        server_in(&self.map().await?, name)
    }

    /// Waits until a server is confirmed and nothing is wrong with it.
    pub(crate) async fn confirmed(&self, name: &str) -> Result<Value> {
        self.confirmed_with(name, |_| true).await
    }

    /// The same, and a condition holds.
    pub(crate) async fn confirmed_with(
        &self,
        name: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let well = |server: &Value| server["state"] == "confirmed" && server["problem"].is_null();
        self.wait_for(name, "well", SOON, |server| well(server) && condition(server)).await
    }

    /// Waits until what `/map` says of a server fulfils a condition, and returns it.
    pub(crate) async fn wait_for(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let holds = async || self.server(name).await.is_ok_and(|server| condition(&server));
        let waited = wait_until(what, limit, holds).await;
        workers_have_the_map().await;
        let server = self.server(name).await?;
        waited.with_context(|| format!("/map says of {name}: {server}"))?;
        Ok(server)
    }
}

/// One server of a `/map` document.
pub(crate) fn server_in(map: &Value, name: &str) -> Result<Value> {
    let mut servers = map["servers"].as_array().into_iter().flatten();
    let server = servers.find(|server| server["name"] == name);
    server.cloned().with_context(|| format!("{name} is not in {map}"))
}

/// The threads of Envoy in which a VM died, one entry a death.
pub(crate) fn deaths(balancer: &mut Balancer) -> Result<Vec<u32>> {
    let log = balancer.envoy().log()?;
    let died = log.lines().filter(|line| line.contains("] Function: ") && line.contains(" failed"));
    died.map(thread).collect()
}

/// The thread that wrote a line of Envoy's log: `[time][thread][level]…`.
pub(crate) fn thread(line: &str) -> Result<u32> {
    let number = line.split(['[', ']']).nth(3).and_then(|number| number.parse().ok());
    number.with_context(|| format!("no thread in {line:?}"))
}

/// An error when any VM of the module died since Envoy's start.
pub(crate) async fn no_vm_died(balancer: &mut Balancer) -> Result<()> {
    let deaths = deaths(balancer)?;
    ensure!(deaths.is_empty(), "VMs died in these threads: {deaths:?}");
    let stats = balancer.envoy().stats("wasm.").await?;
    let counted = stats.iter().filter(|(name, count)| name.contains("vm_reload") && **count > 0);
    let counted: Vec<_> = counted.collect();
    ensure!(counted.is_empty(), "{counted:?}");
    Ok(())
}

/// Envoy's resident memory.
pub(crate) fn resident_bytes(balancer: &mut Balancer) -> Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", balancer.envoy().process().id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
