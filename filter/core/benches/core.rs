//! What the core costs: reading a request, looking it up in small and large maps, and decoding a map.
//! `make bench` runs it; ratios between rows of one run are what counts.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use peerway_core::decide::{Knowledge, decide};
use peerway_core::request::{Target, decoded_path};
use peerway_core::servers::{Server, ServerSet};
use peerway_core::serving_map::Rows;
use peerway_core::snapshot;

fn servers() -> Vec<Server> {
    let server = |at| Server { name: format!("cp-{at}"), address: format!("10.0.0.{at}:6443") };
    (1..=3).map(server).collect()
}

/// A snapshot in which all servers list `resources` resources, `apps/v1/deployments` among them.
fn snapshot_of(resources: usize) -> Vec<u8> {
    let all = ServerSet::first(3);
    let name = |at| (format!("group{:03}.example.com/v1/resources{at:05}/", at % 300), all);
    let mut apis: Vec<_> = (1..resources).map(name).collect();
    apis.push(("apps/v1/deployments/".to_owned(), all));
    apis.sort_by(|(left, _), (right, _)| left.cmp(right));
    let rows = Rows { confirmed: all, apis, ..Rows::default() };
    snapshot::encode(&servers(), &rows)
}

fn requests(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("read");
    for (name, path) in [
        ("list", "/apis/apps/v1/deployments?limit=500"),
        ("get", "/apis/apps/v1/namespaces/default/deployments/web"),
        ("escaped", "/apis/apps%2Fv1/namespaces/default/deployments/web"),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let path = decoded_path(black_box(path.as_bytes())).unwrap_or_default();
                black_box(Target::of(&path) == Target::Other)
            });
        });
    }
}

fn lookups(bench: &mut Criterion) {
    let servers = servers();
    let mut group = bench.benchmark_group("decide");
    for (name, path) in [("hit", "/apis/apps/v1/deployments"), ("miss", "/apis/apps/v1/absent")] {
        for resources in [60, 1_000, 50_000] {
            let Ok(map) = snapshot::decode(snapshot_of(resources), &servers) else { return };
            let id = BenchmarkId::new(name, format!("{resources}_resources"));
            group.bench_with_input(id, &map, |bench, map| {
                bench.iter(|| {
                    let target = Target::of(black_box(path.as_bytes()));
                    decide(target, &servers, Knowledge::Map(map), 0)
                });
            });
        }
    }
}

fn decoding(bench: &mut Criterion) {
    let servers = servers();
    let mut group = bench.benchmark_group("decode");
    for resources in [60, 5_000] {
        let bytes = snapshot_of(resources);
        group.bench_function(format!("{resources}_resources"), |bench| {
            bench.iter_with_large_drop(|| snapshot::decode(bytes.clone(), &servers));
        });
    }
}

criterion_group!(benches, requests, lookups, decoding);
criterion_main!(benches);
