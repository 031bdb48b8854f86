//! On real kube-apiservers, 1.36.3 and 1.37.2 on one etcd: how long requests take at a constant rate,
//! and how many can be had. The same two servers for all: asked directly, by their own Mixed Version
//! Proxy, through an Envoy without a filter, and through Peerway.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Client, Protocol};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, NOBODY_TOKEN};
use peerway_harness::process::wait_until;
use peerway_harness::workload::direct;
use serde_json::json;

use crate::load::{Aim, Attack, Generator, Outcome, Pace};
use crate::plan::Plan;
use crate::results::{Real, RealOf};
use crate::screen;

/// One of what is compared.
struct Variant {
    name: &'static str,
    what: &'static str,
    aim: Aim,
    open: Vec<Attack>,
    closed: Vec<Outcome>,
}

/// Measures all variants. An error when one does not answer as it should.
pub(crate) async fn measure(plan: &Plan) -> Result<Real> {
    screen::progress("starting two kube-apiservers");
    let servers = ControlPlane::builder().peered().server("old", "1.36.3").server("new", "1.37.2");
    let plane = servers.start().await?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let generator = Generator::new(folder.path(), &plane.pki().serving_ca).await?;
    make_object(&plane).await?;
    let (mut variants, balancers) = variants(&plane).await?;
    check(&variants, &plane).await?;
    let count = variants.len();
    let (open, closed) = (Pace::Open(REQUESTS_PER_SECOND), Pace::Closed(AT_A_TIME));
    for round in 0..=plan.real_rounds as usize {
        screen::progress(&format!("real servers: round {round} of {}", plan.real_rounds));
        for at in 0..count {
            let step = if round % 2 == 0 { at } else { count - 1 - at };
            let Some(variant) = variants.get_mut((step + round) % count) else { continue };
            if round == 0 {
                generator.attack(variant.aim, closed, WARM_UP).await.context(variant.what)?;
                continue;
            }
            let attack = generator.attack(variant.aim, open, plan.open_slice).await;
            variant.open.push(attack.context(variant.what)?);
            let attack = generator.attack(variant.aim, closed, plan.closed_slice).await;
            variant.closed.push(generator.outcome(&[attack.context(variant.what)?]).await?);
        }
    }
    check(&variants, &plane).await?;
    drop(balancers);
    let mut measured = Vec::new();
    for Variant { name, what, open, closed, .. } in variants {
        let open = generator.outcome(&open).await?;
        measured.push(RealOf { name: name.to_owned(), what: what.to_owned(), open, closed });
    }
    Ok(Real { requests_per_second: REQUESTS_PER_SECOND, at_a_time: AT_A_TIME, variants: measured })
}

async fn make_object(plane: &ControlPlane) -> Result<()> {
    let bundle = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "ClusterTrustBundle",
        "metadata": {"name": "web"},
        "spec": {"trustBundle": std::fs::read_to_string(&plane.pki().serving_ca)?},
    });
    let client = direct(plane, "new", Protocol::Http2)?;
    let answer = client.post("/apis/certificates.k8s.io/v1/clustertrustbundles", &bundle).await?;
    ensure!(answer.status == 201, "no trust bundle: {} {}", answer.status, answer.text());
    Ok(())
}

async fn variants(plane: &ControlPlane) -> Result<(Vec<Variant>, Vec<Balancer>)> {
    let address = |name| -> Result<SocketAddr> { Ok(plane.address(name)?.parse()?) };
    let only_new = vec![("new".to_owned(), plane.address("new")?.to_owned())];
    // By connection, few connections may all have the same server, and others not.
    let in_turns = || Builder::before(plane).bare().setting("affinity", json!("none"));
    let plain = in_turns().plain().start().await?;
    let even = in_turns().start().await?;
    even.all_confirmed().await?;
    let fixed = Builder::of(only_new, plane.pki()).bare().plain().start().await?;
    let peerway = Builder::before(plane).bare().start().await?;
    peerway.all_confirmed().await?;
    // A fetcher that nobody knows never has a map.
    let mapless = Builder::before(plane).bare().fetcher_token("unknown").start().await?;
    let through = |balancer: &Balancer| -> Result<SocketAddr> {
        Ok(balancer.client(NOBODY_TOKEN, Protocol::Http2)?.address())
    };
    let variants = [
        ("even-plain", "Envoy without a filter", through(&plain)?, OLD_API),
        ("even-peerway", "Peerway, nothing to do", through(&even)?, OLD_API),
        ("direct", "the right server directly", address("new")?, NEW_API),
        ("fixed", "Envoy without a filter, right server only", through(&fixed)?, NEW_API),
        ("rerouted", "Peerway, rerouted", through(&peerway)?, NEW_API),
        ("mapless", "Peerway with no map", through(&mapless)?, NEW_API),
        ("built-in", "built-in Mixed Version Proxy", address("old")?, NEW_API),
    ];
    let variant = |(name, what, address, path)| {
        let aim = Aim { address, path };
        Variant { name, what, aim, open: Vec::new(), closed: Vec::new() }
    };
    Ok((variants.map(variant).into(), vec![plain, even, fixed, peerway, mapless]))
}

/// Every variant has the object asked for. The servers' own proxy needs some time to begin.
async fn check(variants: &[Variant], plane: &ControlPlane) -> Result<()> {
    let trusted = std::fs::read_to_string(&plane.pki().serving_ca)?;
    for variant in variants {
        let client = Client::new(variant.aim.address, &trusted, Protocol::Http2)?;
        let client = client.with_token(ADMIN_TOKEN);
        let name = variant.aim.path.rsplit('/').next().unwrap_or_default();
        let right = async || {
            let object = client.get(variant.aim.path).await.and_then(|answer| answer.json());
            object.is_ok_and(|object| object.pointer("/metadata/name") == Some(&name.into()))
        };
        let waited = wait_until("answering as it should", BEGIN_LIMIT, right).await;
        waited.with_context(|| variant.what.to_owned())?;
        for _ in 0..CHECKS {
            ensure!(right().await, "{} did not answer as it should", variant.what);
        }
    }
    Ok(())
}

/// Well below what the slowest of them can do on two cores.
const REQUESTS_PER_SECOND: u32 = 150;
const AT_A_TIME: u32 = 16;
const WARM_UP: Duration = Duration::from_millis(500);
const OLD_API: &str = "/api/v1/namespaces/default";
const NEW_API: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles/web";
/// A server learns of another by its lease, and then asks it.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
const CHECKS: u32 = 20;
