//! What is measured: named operations on inputs of named sizes. Times and allocations are taken of the
//! same ones.

use std::hint::black_box;

use peerway_core::apis::Apis;
use peerway_core::decide::{Knowledge, decide};
use peerway_core::discovery::{Root, read_aggregated};
use peerway_core::merge::{List, Member, Merged, etag, merge};
use peerway_core::request::{Target, decoded_path};
use peerway_core::servers::Server;
use peerway_core::serving_map::{Rows, ServingMap, Standing, View, build};
use peerway_core::snapshot;

use crate::inputs;

/// An operation under the name that it has in reports.
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) run: Box<dyn Fn()>,
}

/// All of them. Inputs are made here, so that running an operation is the operation alone.
pub(crate) fn all() -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut add = |name: String, run: Box<dyn Fn()>| operations.push(Operation { name, run });
    for (name, path) in inputs::PATHS {
        let read = move || {
            let path = decoded_path(black_box(path.as_bytes())).unwrap_or_default();
            black_box(Target::of(&path) == Target::Other);
        };
        add(format!("read/{name}"), Box::new(read));
    }
    for (name, path) in [("hit", "/apis/apps/v1/deployments"), ("miss", "/apis/apps/v1/absent")] {
        for resources in [60, 1_000, 50_000] {
            let servers = inputs::servers(3);
            let map = map_of(&servers, resources);
            let look_up = move || {
                let target = Target::of(black_box(path.as_bytes()));
                black_box(decide(target, &servers, Knowledge::Map(&map), 0));
            };
            add(format!("decide/{name}/{resources}_resources"), Box::new(look_up));
        }
    }
    for crds in [0, 1_000, 5_000] {
        for count in [1, 3, 9] {
            let documents = inputs::documents(count, crds);
            let size = format!("{count}_servers/{crds}_crds");
            let taken = documents.clone();
            add(format!("map/{size}"), Box::new(move || drop(black_box(snapshot_of(&taken)))));
            add(format!("merge/{size}"), Box::new(move || drop(black_box(merged(&documents)))));
        }
    }
    for resources in [60, 5_000, 50_000] {
        let servers = inputs::servers(3);
        let rows = inputs::rows(3, resources);
        let bytes = snapshot::encode(&servers, &rows);
        let size = format!("{resources}_resources");
        let encoding = servers.clone();
        let encode = move || drop(black_box(snapshot::encode(&encoding, &rows)));
        add(format!("encode/{size}"), Box::new(encode));
        // The copy is there in a worker too: it comes from shared data.
        let decode = move || drop(black_box(snapshot::decode(bytes.clone(), &servers)));
        add(format!("decode/{size}"), Box::new(decode));
    }
    operations
}

fn map_of(servers: &[Server], resources: usize) -> ServingMap {
    let bytes = snapshot::encode(servers, &inputs::rows(servers.len(), resources));
    let empty = |_| ServingMap::with_capacity(Default::default(), 0, 0);
    snapshot::decode(bytes, servers).unwrap_or_else(empty)
}

/// What the fetcher does when every server has a new document: read, build the map, encode it.
fn snapshot_of(documents: &[Vec<u8>]) -> Vec<u8> {
    let read = |document: &Vec<u8>| {
        read_aggregated(Root::Named, document, &Apis::default()).unwrap_or_default().apis
    };
    let apis: Vec<Apis> = documents.iter().map(read).collect();
    let view = |apis| View { standing: Standing::Confirmed, apis: Some(apis), read_ms: 1 };
    let rows: Rows = build(&apis.iter().map(view).collect::<Vec<_>>());
    snapshot::encode(&inputs::servers(documents.len()), &rows)
}

/// One document of all: read, merged, written, with its `ETag`.
fn merged(documents: &[Vec<u8>]) -> Option<(Vec<u8>, String)> {
    let lists: Vec<List<'_>> =
        documents.iter().map(|document| List::read(document)).collect::<Result<_, _>>().ok()?;
    let names: Vec<String> = (0..lists.len()).map(|at| format!("cp-{at}")).collect();
    let members: Vec<Member<'_>> =
        names.iter().zip(&lists).map(|(id, list)| Member { id, list }).collect();
    match merge(&members, names.first()?, &[])? {
        Merged::Own => None,
        Merged::Other(list) => Some((list.to_json().ok()?, etag(&list).ok()?)),
    }
}
