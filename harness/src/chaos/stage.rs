//! A control plane with one balancer before it, and scenarios that are played on it, one after the
//! other, each with a load of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::between::{Before, Between};
use super::check::{self, Damage};
use super::load::{self, Load};
use super::play::Play;
use super::record::{Class, Kind, Mark, Presence, Recorder, Seen};
use super::scenario::{NEW, Scenario};
use super::{history, servers_of};
use crate::balancer::{Balancer, Builder};
use crate::control_plane::{ADMIN_TOKEN, ControlPlane, OPERATOR_TOKEN};
use crate::module::Module;
use crate::process::Process;

/// What stands before the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Peerway.
    Peerway,
    /// Round robin, with the same settings.
    Plain,
    /// The same before servers that pass requests on to each other, by Kubernetes' own Mixed Version
    /// Proxy.
    BuiltIn,
}

/// What is there in all scenarios.
#[derive(Debug)]
pub struct Stage {
    // In the order of their end: whoever asks before who answers.
    controllers: Option<Process>,
    /// The API server behind the servers' own aggregation.
    _aggregated: Process,
    pub(super) balancer: Balancer,
    pub(super) between: Between,
    pub(super) plane: ControlPlane,
    pub(super) way: Way,
    versions: BTreeMap<String, String>,
    /// Servers that were killed and did not come back.
    pub(super) gone: BTreeSet<String>,
    loads: usize,
}

/// What a stage shall be.
#[derive(Debug)]
pub struct Plan {
    /// What stands before the servers.
    pub way: Way,
    /// The servers at first; names and versions.
    pub servers: [(&'static str, &'static str); 3],
    /// What stands between.
    pub before: Before,
    /// The real kube-controller-manager, with work to do.
    pub controllers: bool,
    /// Which build of the module.
    pub module: Module,
}

/// What was seen in a scenario.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every answer.
    pub seen: Vec<Seen>,
    /// What was done.
    pub marks: Vec<Mark>,
    /// Where clients and etcd disagree.
    pub damage: Damage,
    /// Errors of watches, by their words.
    pub watch_errors: BTreeMap<String, usize>,
    /// How often watchers were told to begin anew, the first time left out.
    pub relists: usize,
    /// From a server's return to the first answer to a request for an API that it alone has.
    pub healed_after: Option<Duration>,
    /// Requests that were sent to a server after it should have been known to be unreachable.
    pub sent_astray: Option<u64>,
}

impl Plan {
    /// What a scenario needs, with controllers.
    pub fn for_scenario(way: Way, scenario: &Scenario) -> Self {
        let module = if scenario.panics() { Module::Panicking } else { Module::Shipped };
        let (servers, before) = (scenario.servers, scenario.before());
        Self { way, servers, before, controllers: true, module }
    }
}

impl Stage {
    /// Starts everything, and waits until the balancer knows the servers.
    pub async fn start(plan: &Plan) -> Result<Self> {
        let mut builder = ControlPlane::builder();
        for (name, version) in plan.servers {
            builder = builder.server_with(name, version, &FLAGS);
        }
        if plan.way == Way::BuiltIn {
            builder = builder.peered();
        }
        let plane = builder.start().await?;
        let between = Between::start(&plane, plan.before).await?;
        let names = plane.servers().into_iter().map(|(name, _)| name);
        let servers = names.map(|name| Ok((name.to_owned(), between.address(&plane, name)?)));
        let mut builder = Builder::of(servers.collect::<Result<_>>()?, plane.pki());
        builder = builder.module(plan.module).replaceable();
        if plan.way != Way::Peerway {
            builder = builder.plain();
        }
        let balancer = builder.start().await?;
        // It asks who callers are, and what they may, as everybody else asks.
        let kubeconfig = plane.kubeconfig_for("aggregated", &balancer.url(), ADMIN_TOKEN)?;
        let aggregated = plane.aggregated_apiserver(&kubeconfig).await?;
        let versions = plan.servers.map(|(name, version)| (name.to_owned(), version.to_owned()));
        let mut stage = Self {
            balancer,
            between,
            plane,
            way: plan.way,
            versions: versions.into(),
            gone: BTreeSet::new(),
            controllers: None,
            _aggregated: aggregated,
            loads: 0,
        };
        stage.settled().await?;
        if plan.controllers {
            let url = stage.balancer.url();
            let kubeconfig = stage.plane.kubeconfig_for("controllers", &url, OPERATOR_TOKEN)?;
            let started = load::start_controllers(&stage.plane, stage.knowing(), &kubeconfig);
            stage.controllers = Some(started.await?);
        }
        Ok(stage)
    }

    /// The servers.
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// What stands before them.
    pub fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    /// Plays a scenario, whose pauses take `time` together, and says what was seen. `tell` is given
    /// each thing that is done.
    pub async fn play(
        &mut self,
        scenario: &'static Scenario,
        time: Duration,
        tell: impl Fn(&str),
    ) -> Result<Outcome> {
        self.set(scenario).await.context("setting the stage")?;
        let recorder = Arc::<Recorder>::default();
        let is_there = !self.capable().is_empty();
        recorder.set_presence(if is_there { Presence::There } else { Presence::Absent });
        self.loads += 1;
        let load = Load::start(self, self.knowing(), Arc::clone(&recorder)).await?;
        let mut play = Play::new(self, &recorder, time / scenario.shares().max(1), &tell);
        for step in scenario.steps {
            play.step(*step).await.with_context(|| format!("{}: {step:?}", scenario.name))?;
        }
        let (returned, sent_astray) = play.end();
        tell("the load ends, controllers and watchers catch up");
        self.settled().await?;
        let traffic = load.end(&self.plane, self.knowing()).await?;
        let history = history::since(&self.plane, traffic.first_revision).await?;
        let (mut seen, marks) = recorder.take();
        servers_of::tell(&self.balancer, &self.names_by_address()?, &mut seen).await?;
        Ok(Outcome {
            healed_after: returned.and_then(|returned| healed(&seen, returned)),
            damage: check::damage(&traffic, &history),
            relists: traffic.relists(),
            watch_errors: traffic.watch_errors(),
            seen,
            marks,
            sent_astray,
        })
    }

    pub(super) fn has_controllers(&self) -> bool {
        self.controllers.is_some()
    }

    /// Begins the names of what the load makes; those of another load begin otherwise.
    pub(super) fn mark(&self) -> String {
        format!("load{}", self.loads)
    }

    /// The servers that have the new APIs.
    pub(super) fn capable(&self) -> Vec<&str> {
        let has_them = |name: &&str| self.version(name) == NEW && !self.gone.contains(*name);
        self.plane.servers().into_iter().map(|(name, _)| name).filter(has_them).collect()
    }

    pub(super) fn version(&self, name: &str) -> &str {
        self.versions.get(name).map_or("", String::as_str)
    }

    pub(super) async fn replace(&mut self, name: &str, version: &str) -> Result<()> {
        self.plane.replace_with(name, version).await?;
        self.versions.insert(name.to_owned(), version.to_owned());
        Ok(())
    }

    /// What the balancer calls a server.
    pub(super) fn address(&self, name: &str) -> Result<String> {
        self.between.address(&self.plane, name)
    }

    /// A server that is there and has all APIs that there are.
    fn knowing(&self) -> &str {
        let mut there = self.plane.servers().into_iter().map(|(name, _)| name);
        let there = there.find(|name| !self.gone.contains(*name)).unwrap_or_default();
        self.capable().first().copied().unwrap_or(there)
    }

    /// Brings back what is gone, and every server to the version that it begins with.
    async fn set(&mut self, scenario: &Scenario) -> Result<()> {
        for name in std::mem::take(&mut self.gone) {
            self.plane.start(&name).await?;
        }
        for (name, version) in scenario.servers {
            if self.version(name) != version {
                self.replace(name, version).await?;
            }
        }
        self.settled().await
    }

    /// Waits until the balancer knows that all servers are there that are.
    async fn settled(&self) -> Result<()> {
        for (name, _) in self.plane.servers() {
            if self.gone.contains(name) {
                continue;
            }
            if self.way == Way::Peerway {
                self.balancer.server_is(name, "confirmed").await?;
            }
            self.balancer.is_healthy(&self.address(name)?).await?;
        }
        Ok(())
    }

    fn names_by_address(&self) -> Result<BTreeMap<String, String>> {
        let names = self.plane.servers().into_iter().map(|(name, _)| name);
        names.map(|name| Ok((self.address(name)?, name.to_owned()))).collect()
    }
}

/// How long after a server's return the first request for a new API was answered.
fn healed(seen: &[Seen], returned: Duration) -> Option<Duration> {
    let done = seen.iter().filter(|seen| seen.class == Class::New && seen.kind == Kind::Done);
    let ends = done.map(|seen| seen.at + seen.took).filter(|end| *end > returned);
    Some(ends.min()? - returned)
}

impl Way {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Peerway, Self::Plain, Self::BuiltIn];

    /// For a command line and for file names.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Peerway => "peerway",
            Self::Plain => "plain",
            Self::BuiltIn => "built-in",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Peerway => "Peerway",
            Self::Plain => "plain round robin",
            Self::BuiltIn => "round robin, and the built-in Mixed Version Proxy",
        })
    }
}

/// Beside the rig's own. A minute's delay is usual, so that balancers notice; they all ask every
/// second here. History must not be forgotten before it is read. A server that ends waits for what is
/// passed on to another, as watches of an aggregated API are, for as long as a request may take: a
/// minute by default.
const FLAGS: [&str; 3] =
    ["--shutdown-delay-duration=4s", "--etcd-compaction-interval=0", "--request-timeout=15s"];
