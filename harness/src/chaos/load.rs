//! Everybody who asks while a scenario plays: clients that make, read, change and remove objects
//! and count on each answer (`visit`), a steady beat of reads (`probe`), kube-rs watchers (`watch`), kubectl (`commands`), and the
//! real kube-controller-manager, which collects garbage and empties namespaces (`families`).
//!
//! All of them go through one balancer. What they were answered is in the `Recorder`; what they
//! know to have done, to be compared with etcd's own account, is in the `Traffic` that they leave.

mod api;
mod caller;
mod commands;
mod families;
mod probe;
mod visit;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::record::{Presence, Recorder};
use super::stage::Stage;
use crate::client::{Client, Protocol};
use crate::control_plane::{ControlPlane, OPERATOR_TOKEN};
use crate::kubeconfig::Kubeconfig;
use crate::process::{Process, wait_until};
use caller::Caller;
use families::Families;
use watch::Watcher;

pub(super) use api::Api;
pub(super) use families::Family;
pub(super) use visit::{Fate, NUMBER, Visit};
pub(super) use watch::{Heard, Watched};

/// Starts the real kube-controller-manager with a kubeconfig, and returns when it does what it is
/// for, as `server` tells.
pub(super) async fn start_controllers(
    plane: &ControlPlane,
    server: &str,
    kubeconfig: &Kubeconfig,
) -> Result<Process> {
    api::prepare(plane, server).await?;
    let mut controllers = plane.controller_manager(kubeconfig).await?;
    families::at_work(plane, server, &mut controllers).await?;
    Ok(controllers)
}

/// A load that runs. Dropping it ends it, with all that it knows.
#[derive(Debug)]
pub struct Load {
    common: Arc<Common>,
    visitors: JoinSet<Vec<Visit>>,
    others: JoinSet<Result<()>>,
    watchers: Vec<Watcher>,
    families: JoinSet<Families>,
    first_revision: u64,
}

/// What the load did, as far as it knows.
#[derive(Debug)]
pub struct Traffic {
    /// Objects, from being made to being removed.
    pub(super) visits: Vec<Visit>,
    /// What watchers heard.
    pub(super) watched: Vec<Watched>,
    /// Owners, their dependents, and namespaces, for the controllers.
    pub(super) families: Vec<Family>,
    /// The revision of etcd before the first request.
    pub(super) first_revision: u64,
}

/// What all clients have in common.
#[derive(Debug)]
struct Common {
    recorder: Arc<Recorder>,
    /// Begins the names of everything that this load makes.
    mark: String,
    ending: AtomicBool,
}

impl Common {
    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Waits, but not past the end of the load.
    async fn pause(&self, time: Duration) {
        let over = tokio::time::Instant::now() + time;
        while !self.is_ending() && tokio::time::Instant::now() < over {
            tokio::time::sleep(STEP.min(over - tokio::time::Instant::now())).await;
        }
    }
}

impl Load {
    /// Makes what the load needs at `server`, which must have all APIs that are there, and starts
    /// it through the balancer of `stage`. Returns when requests flow and watchers watch.
    pub(super) async fn start(
        stage: &Stage,
        server: &str,
        recorder: Arc<Recorder>,
    ) -> Result<Self> {
        let plane = stage.plane();
        let mark = stage.mark();
        api::prepare(plane, server).await?;
        let first_revision = super::history::revision(plane).await?;
        let kubeconfig = plane.kubeconfig_for(&mark, &stage.balancer().url(), OPERATOR_TOKEN)?;
        let common = Arc::new(Common { recorder, mark, ending: AtomicBool::new(false) });
        let mut load = Self {
            common,
            visitors: JoinSet::new(),
            others: JoinSet::new(),
            watchers: Vec::new(),
            families: JoinSet::new(),
            first_revision,
        };
        if stage.has_controllers() {
            let caller = Caller::Kube(kubeconfig.kube().await?);
            load.families.spawn(families::keep_founding(caller, Arc::clone(&load.common)));
        }
        load.start_visitors(stage, &kubeconfig).await?;
        for api in Api::ALL {
            load.watchers.push(Watcher::start(api, kubeconfig.kube().await?));
        }
        load.others.spawn(commands::keep_typing(kubeconfig, Arc::clone(&load.common)));
        load.flows().await?;
        Ok(load)
    }

    /// Ends it: clients finish what they have begun, watchers and controllers get time to catch up
    /// with what is there, as `server` tells, and everything that was seen is returned.
    pub(super) async fn end(self, plane: &ControlPlane, server: &str) -> Result<Traffic> {
        self.common.ending.store(true, Ordering::Relaxed);
        let visits = self.visitors.join_all().await.into_iter().flatten().collect();
        for ended in self.others.join_all().await {
            ended?;
        }
        let mut families = Vec::new();
        let new_is_there = self.common.recorder.presence() == Presence::There;
        for own in self.families.join_all().await {
            families.extend(own.settle(plane, server, new_is_there).await?);
        }
        let ends = api::leave_ends(plane, server, &self.common.mark).await?;
        let mut watched = Vec::new();
        for watcher in self.watchers {
            watched.push(watcher.end(&ends).await);
        }
        Ok(Traffic { visits, watched, families, first_revision: self.first_revision })
    }

    async fn start_visitors(&mut self, stage: &Stage, kubeconfig: &Kubeconfig) -> Result<()> {
        let trusted = read(&stage.plane().pki().serving_ca)?;
        let address = stage.balancer().address();
        let client = |protocol| -> Result<Caller> {
            let client = Client::new(address, &trusted, protocol)?;
            Ok(Caller::Http(client.with_token(OPERATOR_TOKEN).with_deadline(PATIENCE)))
        };
        let visitors = [
            ("http1", client(Protocol::Http1)?, vec![Api::ConfigMaps, Api::Bundles, Api::Widgets]),
            (
                "http2-old",
                client(Protocol::Http2)?,
                vec![Api::Widgets, Api::Flunders, Api::ConfigMaps],
            ),
            ("http2-new", client(Protocol::Http2)?, vec![Api::Bundles]),
            ("kube-rs", Caller::Kube(kubeconfig.kube().await?), Api::ALL.to_vec()),
        ];
        for (name, caller, apis) in visitors {
            let common = Arc::clone(&self.common);
            self.visitors.spawn(visit::keep_visiting(name, caller, apis, common));
        }
        for (api, protocol) in [(Api::ConfigMaps, Protocol::Http2), (Api::Bundles, Protocol::Http1)]
        {
            let prober = probe::keep_probing(client(protocol)?, api, Arc::clone(&self.common));
            self.others.spawn(prober);
        }
        Ok(())
    }

    async fn flows(&self) -> Result<()> {
        let recorder = &self.common.recorder;
        let flows = async || recorder.answers() >= ENOUGH;
        wait_until("flowing", SOON, flows).await?;
        for watcher in &self.watchers {
            watcher.watches().await?;
        }
        ensure!(!self.common.is_ending(), "the load ended before it began");
        Ok(())
    }
}

impl Traffic {
    /// How often watchers were told to begin anew, the first time left out.
    pub(super) fn relists(&self) -> usize {
        let lists = |watched: &Watched| {
            let lists = watched.heard.iter().filter(|heard| matches!(heard, Heard::Listed(_)));
            lists.count().saturating_sub(1)
        };
        self.watched.iter().map(lists).sum()
    }

    /// Errors of watches, by their words.
    pub(super) fn watch_errors(&self) -> BTreeMap<String, usize> {
        let mut errors = BTreeMap::new();
        for (words, count) in self.watched.iter().flat_map(|watched| &watched.errors) {
            *errors.entry(words.clone()).or_default() += count;
        }
        errors
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Between two looks whether the load is over.
const STEP: Duration = Duration::from_millis(50);
/// Longer than Peerway's keepalive towards servers takes to find one that is frozen.
const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(60);
/// Every client has been answered by then.
const ENOUGH: usize = 60;
