//! The case table (`testdata/cases.json`) against the core: real discovery documents in, through the
//! poller, a snapshot and back, decisions out. Runs natively and, compiled to wasm, under node; the
//! harness runs the same table in real Envoy.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which say what they expect by failing"
)]

use std::collections::BTreeMap;

use peerway_core::apis::Apis;
use peerway_core::cluster::{self, Source};
use peerway_core::decide::{Decision, Knowledge, decide};
use peerway_core::discovery::{Root, read_aggregated};
use peerway_core::negotiate::target;
use peerway_core::request::{Target, decoded_path};
use peerway_core::servers::Server;
use peerway_core::serving_map::{ServingMap, Standing, View, build};
use peerway_core::snapshot;
use peerway_testdata::{Case, Map, Plane, Standing as Told, table};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

macro_rules! documents {
    ($($version:literal),*) => {
        [$((
            $version,
            include_bytes!(concat!("../testdata/discovery/", $version, "/api.json")).as_slice(),
            include_bytes!(concat!("../testdata/discovery/", $version, "/apis.json")).as_slice(),
        )),*]
    };
}

fn servers(plane: &Plane) -> Vec<Server> {
    let server = |(at, server): (usize, &peerway_testdata::Server)| Server {
        name: server.name.clone(),
        address: format!("127.0.0.1:{}", 7001 + at),
    };
    plane.servers.iter().enumerate().map(server).collect()
}

/// The map as a worker holds it: built from the documents, written, and read again.
fn map(plane: &Plane, known: &BTreeMap<&str, Known>) -> ServingMap {
    let known = |server: &peerway_testdata::Server| Some(&known[server.version.as_ref()?.as_str()]);
    let view = |server| View {
        standing: standing(server),
        apis: known(server).map(|known| &known.apis),
        read_ms: 1,
    };
    let views: Vec<_> = plane.servers.iter().map(view).collect();
    let mut rows = build(&views);
    let places = plane.servers.iter().enumerate();
    let silent = places.filter(|(_, server)| server.standing == Told::Silent);
    rows.silent = silent.map(|(at, _)| at).collect();
    for (root, at) in [(Root::Core, 0), (Root::Named, 1)] {
        let source = |server| {
            let body = known(server)?.bodies[at];
            Some(Source { name: &server.name, standing: standing(server), body })
        };
        let sources: Vec<_> = plane.servers.iter().map(source).collect();
        cluster::settle(root, &sources, &mut rows).unwrap();
    }
    let servers = servers(plane);
    snapshot::decode(snapshot::encode(&servers, &rows), &servers).unwrap()
}

fn standing(server: &peerway_testdata::Server) -> Standing {
    match server.standing {
        Told::Confirmed => Standing::Confirmed,
        Told::Unknown => Standing::Unknown,
        Told::Late => Standing::Late,
        Told::Gone | Told::Silent => Standing::Gone,
    }
}

/// What a version says of itself.
struct Known {
    apis: Apis,
    /// `/api` and `/apis`.
    bodies: [&'static [u8]; 2],
}

fn known_documents() -> BTreeMap<&'static str, Known> {
    let read = |(version, core, named)| {
        let core_apis = read_aggregated(Root::Core, core, &Apis::default()).unwrap().apis;
        let mut apis = read_aggregated(Root::Named, named, &Apis::default()).unwrap().apis;
        apis.keep_from(&core_apis, |_| true);
        (version, Known { apis, bodies: [core, named] })
    };
    documents!("1.35.4", "1.36.3", "1.37.2").map(read).into()
}

/// What the table says, in its own words.
fn told(decision: &Decision, servers: &[Server]) -> (String, Vec<String>, bool, Option<String>) {
    match decision {
        Decision::Untouched => ("untouched".into(), vec![], false, None),
        Decision::PoolOnce => ("pool-once".into(), vec![], false, None),
        Decision::NotYet(reason) => ("not-yet".into(), vec![], false, Some(reason.name().into())),
        Decision::Peers(peers) | Decision::Merged(peers) => {
            let order = peers.order.iter().map(|id| servers[id.index()].name.clone()).collect();
            let kind = match (decision, peers.once) {
                (Decision::Merged(_), _) => "merged",
                (_, true) => "peers-once",
                (_, false) => "peers",
            };
            (kind.into(), order, peers.stamp, Some(peers.reason.name().to_owned()))
        }
    }
}

#[test]
fn every_case_of_the_table_is_decided_as_it_says() {
    let table = table();
    let known = known_documents();
    assert!(table.cases.len() > 50, "the table was cut");
    let mut wrong = Vec::new();
    for case in &table.cases {
        let plane = &table.planes[&case.plane];
        let (servers, map) = (servers(plane), map(plane, &known));
        let knowledge = match plane.map {
            None => Knowledge::Map(&map),
            Some(Map::Missing) => Knowledge::NoMap,
            Some(Map::Expired) => Knowledge::Expired(&map),
            Some(Map::Starting) => Knowledge::Starting(Some(&map)),
            Some(Map::StartingWithout) => Knowledge::Starting(None),
        };
        let path = decoded_path(case.target.as_bytes()).unwrap();
        let decision = decide(target(&path, &case.accept), &servers, knowledge, 0);
        let expected = (case.decision.clone(), case.order.clone(), case.stamp, case.reason.clone());
        let told = told(&decision, &servers);
        if told != expected {
            let Case { plane, target, .. } = case;
            wrong.push(format!("{plane}: {target}: {told:?} and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn servers_that_are_equally_good_take_turns() {
    let table = table();
    let plane = &table.planes["two-new"];
    let (servers, map) = (servers(plane), map(plane, &known_documents()));
    let target = Target::of(b"/apis/certificates.k8s.io/v1/clustertrustbundles");
    let order = |turn| told(&decide(target, &servers, Knowledge::Map(&map), turn), &servers).1;
    assert_eq!(order(0), ["b", "c", "b", "c", "a"]);
    assert_eq!(order(1), ["c", "b", "c", "b", "a"]);
}
