//! What the demo plays on: etcd, three kube-apiservers of two versions, and two Envoys in front of
//! the same three servers, one plain and one with Peerway.

use std::fmt;

use anyhow::{Context, Result};
use peerway_harness::balancer::{self, Balancer};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::kubeconfig::Kubeconfig;

/// The version of two servers.
pub(crate) const OLD: &str = "1.36.3";
/// The version of the third.
pub(crate) const NEW: &str = "1.37.2";
/// The servers that are upgraded at the end.
pub(crate) const OLD_SERVERS: [&str; 2] = ["cp-1", "cp-2"];
/// The server that has what the others lack.
pub(crate) const NEW_SERVER: &str = "cp-3";

/// Which of the two balancers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Round robin.
    Plain,
    /// With Peerway.
    Peerway,
}

impl Way {
    /// Both, in the order in which they are shown.
    pub(crate) const BOTH: [Self; 2] = [Self::Plain, Self::Peerway];

    /// Its name in file names and names of objects.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Peerway => "peerway",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain",
            Self::Peerway => "Peerway",
        })
    }
}

/// Everything that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    // Balancers end before the servers behind them.
    plain: Entrance,
    peerway: Entrance,
    /// The servers.
    pub(crate) plane: ControlPlane,
}

/// One of the two balancers, and what a person needs to use it.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The Envoy.
    pub(crate) balancer: Balancer,
    /// For kubectl and controllers, as administrator.
    pub(crate) kubeconfig: Kubeconfig,
}

impl Stage {
    /// Starts the servers and the balancers, and waits until Peerway has read every server.
    pub(crate) async fn start(plane: ControlPlane) -> Result<Self> {
        let (plain, peerway) = tokio::try_join!(
            Entrance::open(&plane, Way::Plain),
            Entrance::open(&plane, Way::Peerway)
        )?;
        peerway.balancer.all_confirmed().await?;
        Ok(Self { plain, peerway, plane })
    }

    /// A balancer.
    pub(crate) fn entrance(&self, way: Way) -> &Entrance {
        match way {
            Way::Plain => &self.plain,
            Way::Peerway => &self.peerway,
        }
    }
}

impl Entrance {
    async fn open(plane: &ControlPlane, way: Way) -> Result<Self> {
        let builder = balancer::Builder::before(plane);
        let builder = match way {
            Way::Plain => builder.plain(),
            Way::Peerway => builder,
        };
        let balancer = builder.start().await.with_context(|| format!("the {way} balancer"))?;
        let kubeconfig = plane.kubeconfig_for(way.slug(), &balancer.url(), ADMIN_TOKEN)?;
        Ok(Self { balancer, kubeconfig })
    }
}

/// Etcd and the three servers.
pub(crate) async fn control_plane() -> Result<ControlPlane> {
    let [first, second] = OLD_SERVERS;
    let builder = ControlPlane::builder().server(first, OLD).server(second, OLD);
    builder.server(NEW_SERVER, NEW).start().await
}
