//! What the fetcher knows -> the JSON of `/map`, for people and for the `peerway` command.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::{Document, ServerRecord, Status};
use crate::serving_map::Standing;

/// The document of `/map`. Ages are in milliseconds; a missing one means never.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusPage<'a> {
    /// Counts the published maps; 0 while there is none.
    pub generation: u64,
    /// The configured servers, in order.
    pub servers: Vec<ServerPage<'a>>,
    /// What every server lists that was read: `group/version/resource/subresource`.
    everywhere: Vec<&'a str>,
}

/// One server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerPage<'a> {
    name: &'a str,
    address: &'a str,
    state: &'static str,
    /// How the map shows it, where that differs: while no server is confirmed, as it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown_as: Option<&'static str>,
    version: &'a str,
    /// Since `/readyz` was last good.
    probe_age_ms: Option<u64>,
    /// Since the document was last read or found unchanged.
    document_age_ms: Option<u64>,
    /// How many resources and subresources it lists.
    apis: usize,
    /// What it lists that not all other servers that were read do: `group/version/resource/subresource`.
    not_everywhere: Vec<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    problem: &'a str,
}

/// Builds the page from what the VMs keep in shared data; `documents` belong to `status.servers`.
pub fn page<'a>(
    status: &'a Status,
    documents: &'a [Option<Document>],
    now_ms: u64,
) -> StatusPage<'a> {
    let read = documents.iter().flatten().count();
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, _) in documents.iter().flatten().flat_map(|document| document.apis.iter()) {
        *listed.entry(key).or_default() += 1;
    }
    let server = |(record, document): (&'a ServerRecord, &'a Option<Document>)| {
        let keys = || document.iter().flat_map(|document| document.apis.iter()).map(|(key, _)| key);
        let age = |then_ms: u64| (then_ms > 0).then(|| now_ms.saturating_sub(then_ms));
        let (standing, shown): (Standing, _) = (record.standing(), record.shown());
        ServerPage {
            name: &record.name,
            address: &record.address,
            state: standing.name(),
            shown_as: (shown != standing && status.generation > 0).then(|| shown.name()),
            version: &record.version,
            probe_age_ms: age(record.ready_ms),
            document_age_ms: age(record.read_ms),
            apis: keys().count(),
            not_everywhere: keys().filter(|key| listed.get(key) != Some(&read)).collect(),
            problem: &record.problem,
        }
    };
    let servers = status.servers.iter().zip(documents).map(server).collect();
    let everywhere = listed.iter().filter(|(_, count)| **count == read).map(|(key, _)| *key);
    StatusPage { generation: status.generation, servers, everywhere: everywhere.collect() }
}
