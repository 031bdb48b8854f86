//! What a running Peerway knows of its servers, from `/map`.

use envoy_config::running::{Map, MapServer};
use peerway_core::apis::{Apis, Origin};
use peerway_core::serving_map::Standing;
use serde::Deserialize;

use super::{Documents, Known, live};

/// The part of `/map` that is of no use to people.
#[derive(Deserialize)]
struct Common {
    /// Keys that all servers list that were read.
    everywhere: Vec<String>,
}

/// The servers of the Peerway whose loopback listener is at `base`, and whether it has a map.
pub(super) fn of_map(base: &str) -> Result<(Vec<Known>, bool), String> {
    let url = if base.ends_with("/map") { base.to_owned() } else { format!("{base}/map") };
    let body = live::ask_loopback(&url)?;
    let map = Map::from_json(&body).map_err(|what| format!("{url}: {what}"))?;
    let common: Common = serde_json::from_slice(&body)
        .map_err(|error| format!("{url}: {error}; is it an older Peerway?"))?;
    let known = map.servers.iter().map(|server| known(server, &common.everywhere));
    let known = known.collect::<Result<_, _>>()?;
    Ok((known, map.generation > 0))
}

fn known(server: &MapServer, everywhere: &[String]) -> Result<Known, String> {
    let state = server.shown_as.as_ref().unwrap_or(&server.state);
    let standing = Standing::ALL
        .into_iter()
        .find(|standing| standing.name() == state)
        .ok_or_else(|| format!("{}: state {state:?} is not known to this version", server.name))?;
    let keys = everywhere.iter().chain(&server.not_everywhere);
    // The map has left out what only etcd remembers, so what is in it counts.
    let apis: Apis = keys.map(|key| (key.clone(), Origin::BuiltIn)).collect();
    let was_read = server.document_age_ms.is_some();
    Ok(Known {
        name: server.name.clone(),
        address: server.address.clone(),
        standing,
        apis: was_read.then_some(apis),
        documents: Documents::default(),
        read_ms: 1,
    })
}
