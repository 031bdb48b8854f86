//! Bytes of shared data -> the map of a worker; and rows made of lines, there and back.

use std::collections::BTreeMap;

use peerway_core::decide::{Knowledge, decide};
use peerway_core::request::{Api, Form, Scope, Target};
use peerway_core::servers::ServerSet;
use peerway_core::serving_map::Rows;
use peerway_core::snapshot::{SnapshotError, decode, encode};

use crate::input::SERVERS;
use crate::sealed::sealed;

const API: Api<'static> =
    Api { group: b"apps", version: b"v1", resource: b"deployments", subresource: b"" };

pub(crate) fn check(data: &[u8]) {
    let _ = decode(data.to_vec(), &*SERVERS).map_err(|error| error.to_string());
    match decode(sealed(2, data), &*SERVERS) {
        Ok(map) => {
            for target in [Target::Resource(API), Target::Discovery(Scope::Cluster, Form::OpenApi)]
            {
                decide(target, &*SERVERS, Knowledge::Map(&map), 0);
            }
        }
        Err(error) => {
            assert!(matches!(error, SnapshotError::Message | SnapshotError::OtherServers));
        }
    }
    there_and_back(data);
}

/// Each line is a key; how long it is says who lists it.
fn there_and_back(data: &[u8]) {
    let keys = data.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    let listed: BTreeMap<&str, ServerSet> =
        keys.map(|key| (key, ServerSet::from_bits(key.len() as u64))).collect();
    let rows = Rows {
        confirmed: ServerSet::first(1),
        apis: listed.iter().map(|(key, servers)| ((*key).to_owned(), *servers)).collect(),
        ..Rows::default()
    };
    let Ok(map) = decode(encode(&*SERVERS, &rows), &*SERVERS) else {
        unreachable!("what was encoded cannot be decoded");
    };
    assert_eq!(map.confirmed, rows.confirmed);
    for (key, servers) in listed {
        let parts: Vec<&[u8]> = key.split('/').map(str::as_bytes).collect();
        if let [group, version, resource, subresource] = *parts {
            let api = Api { group, version, resource, subresource };
            assert_eq!(map.listing(&api), servers, "{key}");
        }
    }
}
