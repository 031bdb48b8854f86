//! What stands between balancer and servers: nothing, relays that can swallow what passes, or
//! fronts that answer in a server's place.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::client::Protocol;
use crate::control_plane::ControlPlane;
use crate::pki::SERVER_NAMES;
use crate::relay::Relay;
use crate::simulated::{SimulatedServer, Simulation};
use crate::workload::direct;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A relay before each server.
    Relays,
    /// A front before each server.
    Fronts,
}

/// All of them, by the names of the servers.
#[derive(Debug, Default)]
pub(super) struct Between {
    relays: BTreeMap<String, Relay>,
    fronts: BTreeMap<String, SimulatedServer>,
}

impl Between {
    pub(super) async fn start(plane: &ControlPlane, before: Before) -> Result<Self> {
        let mut between = Self::default();
        let identity = plane.pki().serving_authority.serving("front", &SERVER_NAMES)?;
        for (name, address) in plane.servers() {
            match before {
                Before::Nothing => {}
                Before::Relays => {
                    let relay = Relay::to(address.parse()?).await?;
                    between.relays.insert(name.to_owned(), relay);
                }
                Before::Fronts => {
                    // HTTP/1.1: a connection each, so no caller's end touches another.
                    let real = direct(plane, name, Protocol::Http1)?.without_token();
                    let front = Simulation::before(name, real)?.start(&identity).await?;
                    between.fronts.insert(name.to_owned(), front);
                }
            }
        }
        Ok(between)
    }

    /// Where the balancer finds a server.
    pub(super) fn address(&self, plane: &ControlPlane, name: &str) -> Result<String> {
        let relay = self.relays.get(name).map(Relay::address);
        let front = self.fronts.get(name).map(SimulatedServer::address);
        match relay.or(front) {
            Some(address) => Ok(address.to_string()),
            None => Ok(plane.address(name)?.to_owned()),
        }
    }

    pub(super) fn relay(&self, name: &str) -> Result<&Relay> {
        self.relays.get(name).with_context(|| format!("there is no relay before {name}"))
    }

    pub(super) fn front(&self, name: &str) -> Result<&SimulatedServer> {
        self.fronts.get(name).with_context(|| format!("there is no front before {name}"))
    }
}
