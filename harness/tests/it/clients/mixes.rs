//! Mixes of servers, looked at by clients of three kinds.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kube::Discovery;
use peerway_harness::control_plane::ControlPlane;
use peerway_harness::go_client::{Form, discover};
use peerway_harness::kubeconfig::Kubeconfig;

use super::{Mixed, Seen, commands, deletion, is_all, own};
use crate::rig::no_vm_died;

/// How often each client looks, and how often with a document for each group-version.
const LOOKS: usize = 200;
const PLAIN_LOOKS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_all_apis_of_an_upgrade_each_time() {
    let plane = ControlPlane::builder().server("a", "1.33.13").server("b", "1.35.4");
    let plane = plane.server("c", "1.36.3").server("d", "1.37.2");
    let mut mixed = Mixed::start(plane).await.unwrap();
    everybody_sees_all(&mixed).await.unwrap();
    no_vm_died(&mut mixed.balancer).await.unwrap();
}

/// The newest server lacks a resource of a group-version in which it has another that the others
/// lack; the oldest one has versions that the others do not serve.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_server_has_everything_clients_see_it_and_controllers_delete_it() {
    let plane = ControlPlane::builder()
        .server_with("a", "1.33.13", &["--runtime-config=api/all=true"])
        .server("b", "1.35.4")
        .server("c", "1.36.3")
        .server_with("d", "1.37.2", &["--runtime-config=storage.k8s.io/v1/csidrivers=false"]);
    let mut mixed = Mixed::start(plane).await.unwrap();
    for (name, _) in mixed.plane.servers() {
        let own = own(&mixed.plane, name).await.unwrap();
        assert!(is_all(&mixed.everything.apis, &own.seen).is_err(), "{name} has everything");
    }
    everybody_sees_all(&mixed).await.unwrap();
    deletion::is_complete(&mixed, "d").await.unwrap();
    no_vm_died(&mut mixed.balancer).await.unwrap();
}

async fn everybody_sees_all(mixed: &Mixed) -> Result<()> {
    client_go(&mixed.kubeconfig, &mixed.everything).await?;
    kube_rs(&mixed.kubeconfig, &mixed.everything.apis).await?;
    commands::see_all(mixed).await
}

async fn client_go(kubeconfig: &Kubeconfig, everything: &Seen) -> Result<()> {
    for (form, looks) in [(Form::Memory, LOOKS), (Form::Disk, LOOKS), (Form::Plain, PLAIN_LOOKS)] {
        let views = discover(kubeconfig, form, looks).await?;
        ensure!(views.iter().map(|view| view.times).sum::<usize>() == looks, "{form:?}");
        for view in &views {
            let what = || format!("client-go, {form:?}, {} of {looks} times", view.times);
            ensure!(view.error.is_empty(), "{}: {}", what(), view.error);
            is_all(&everything.apis, &view.seen).with_context(what)?;
            is_all(&everything.mapped, &view.mapped).context("mapped").with_context(what)?;
        }
    }
    Ok(())
}

async fn kube_rs(kubeconfig: &Kubeconfig, everything: &BTreeSet<String>) -> Result<()> {
    let client = kubeconfig.kube().await?;
    for look in 0..LOOKS {
        let found = Discovery::new(client.clone()).run_aggregated().await?;
        let what = || format!("kube-rs, aggregated, look {look}");
        is_all(everything, &apis_of(&found)).with_context(what)?;
    }
    for look in 0..PLAIN_LOOKS {
        let found = Discovery::new(client.clone()).run().await?;
        let what = || format!("kube-rs, plain, look {look}");
        is_all(everything, &apis_of(&found)).with_context(what)?;
    }
    Ok(())
}

/// What a kube-rs discovery has found.
fn apis_of(discovery: &Discovery) -> BTreeSet<String> {
    let mut apis = BTreeSet::new();
    for group in discovery.groups() {
        for version in group.versions() {
            let gv = match group.name() {
                "" => version.to_owned(),
                name => format!("{name}/{version}"),
            };
            for (resource, capabilities) in group.versioned_resources(version) {
                let name = format!("{gv}/{}", resource.plural);
                let subresources = capabilities.subresources.iter();
                apis.extend(subresources.map(|(sub, _)| format!("{name}/{}", sub.plural)));
                apis.insert(name);
            }
        }
    }
    apis
}
