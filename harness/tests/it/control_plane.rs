//! The rig itself, on real parts: what it says it does to servers is what happens to them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::{
    ADMIN_TOKEN, AGGREGATED, ControlPlane, FETCHER_TOKEN, NOBODY_TOKEN, fake_node,
};
use peerway_harness::go_client::{Form, View, discover};
use peerway_harness::kubeconfig::{Kubeconfig, kubectl, kubectl_with_input};
use peerway_harness::process::wait_until;
use peerway_harness::workload::direct;

const OLD: &str = "1.36.3";
const NEW: &str = "1.37.2";
/// An API that came with `NEW`.
const NEW_API: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn servers_of_two_versions_go_and_come_back_as_told() {
    let plane = ControlPlane::builder()
        .server("old", OLD)
        .server_with("new", NEW, &["--goaway-chance=0.02"])
        .start()
        .await
        .unwrap();

    assert_eq!(version(&plane, "old").await.unwrap(), OLD);
    assert_eq!(version(&plane, "new").await.unwrap(), NEW);
    assert_eq!(status(&plane, "old", NEW_API).await.unwrap(), 404);
    assert_eq!(status(&plane, "new", NEW_API).await.unwrap(), 200);

    plane.freeze("new").await.unwrap();
    let frozen = tokio::time::timeout(Duration::from_secs(1), plane.ask("new", "/version")).await;
    assert!(frozen.is_err(), "a frozen server answered {frozen:?}");
    plane.thaw("new").await.unwrap();
    assert_eq!(version(&plane, "new").await.unwrap(), NEW);

    let address = plane.address("new").unwrap().to_owned();
    plane.kill("new").await.unwrap();
    assert!(plane.ask("new", "/version").await.is_err());
    plane.start("new").await.unwrap();
    assert_eq!(plane.address("new").unwrap(), address);
    assert_eq!(status(&plane, "new", NEW_API).await.unwrap(), 200);

    let admin = direct(&plane, "old", Protocol::Http1).unwrap();
    let mut watch = admin.lines(Request::get("/api/v1/pods?watch=1")).await.unwrap();
    let replaced = tokio::time::timeout(SOON / 2, plane.replace_with("old", NEW)).await;
    replaced.expect("an open watch does not hold a stop up").unwrap();
    assert!(watch.next(SOON).await.is_ok_and(|line| line.is_none()), "it ended in order");
    assert_eq!(version(&plane, "old").await.unwrap(), NEW);
    assert_eq!(status(&plane, "old", NEW_API).await.unwrap(), 200);

    let folder = plane.folder().to_owned();
    assert_eq!(processes_of(&folder).unwrap().len(), 3, "etcd and two servers");
    drop(plane);
    assert_eq!(processes_of(&folder).unwrap(), Vec::<String>::new());
    assert!(!folder.exists());
}

#[tokio::test]
async fn tokens_nodes_and_controllers_do_their_part() {
    let plane = ControlPlane::builder().server("only", OLD).start().await.unwrap();
    let admin = plane.kubeconfig("only", ADMIN_TOKEN).unwrap();
    let fetcher = plane.kubeconfig("only", FETCHER_TOKEN).unwrap();
    let nobody = plane.kubeconfig("only", NOBODY_TOKEN).unwrap();

    for path in ["/readyz", "/api", "/apis"] {
        run(&fetcher, &["get", "--raw", path]).await.unwrap();
    }
    let rights = ["auth", "can-i", "list", "pods"];
    assert_eq!(kubectl(&nobody, &rights).await.unwrap().stdout, "no\n");
    assert_eq!(kubectl(&fetcher, &rights).await.unwrap().stdout, "no\n");
    assert_eq!(run(&admin, &rights).await.unwrap(), "yes\n");

    let _controllers = plane.controller_manager(&admin).await.unwrap();
    let _scheduler = plane.scheduler(&admin).await.unwrap();
    let _nodes = plane.kwok(&admin).await.unwrap();
    let created =
        kubectl_with_input(&admin, &["create", "-f", "-"], &fake_node("n")).await.unwrap();
    assert!(created.succeeded(), "{created}");
    run(&admin, &["create", "namespace", "short-lived"]).await.unwrap();
    run(&admin, &["create", "deployment", "d", "--image=none", "-n=short-lived"]).await.unwrap();
    let running = async || {
        let phase = ["get", "pods", "-n=short-lived", "-o=jsonpath={.items[*].status.phase}"];
        run(&admin, &phase).await.is_ok_and(|phase| phase == "Running")
    };
    wait_until("running", SOON, running).await.unwrap();
    run(&admin, &["delete", "namespace", "short-lived", "--timeout=60s"]).await.unwrap();
}

#[tokio::test]
async fn an_aggregated_api_server_is_found_by_a_go_client_through_each_server() {
    let plane = ControlPlane::builder().server("a", NEW).server("b", NEW);
    let plane = plane.start().await.unwrap();
    let one = plane.kubeconfig("a", ADMIN_TOKEN).unwrap();
    let _aggregated = plane.aggregated_apiserver(&one).await.unwrap();
    let api = AGGREGATED.trim_start_matches("/apis/");
    for (server, _) in plane.servers() {
        let kubeconfig = plane.kubeconfig(server, ADMIN_TOKEN).unwrap();
        for form in [Form::Memory, Form::Disk, Form::Plain] {
            let found = async || {
                let views = discover(&kubeconfig, form, 2).await.unwrap_or_default();
                let has_it = |view: &View| view.error.is_empty() && view.mapped.contains(api);
                views.len() == 1 && views.iter().all(has_it)
            };
            wait_until("found", SOON, found).await.unwrap();
        }
    }
}

#[tokio::test]
async fn failed_start_names_the_server_and_shows_its_log() {
    let started =
        ControlPlane::builder().server_with("odd", OLD, &["--no-such-flag"]).start().await;
    let text = format!("{:#}", started.unwrap_err());
    assert!(text.contains("odd: ended (exit status: 1) before it was ready"), "{text}");
    assert!(text.contains("unknown flag: --no-such-flag"), "{text}");
}

async fn version(plane: &ControlPlane, server: &str) -> Result<String> {
    let answer = plane.ask(server, "/version").await?;
    let version: serde_json::Value = serde_json::from_str(&answer.body)?;
    let version = version.get("gitVersion").and_then(|version| version.as_str());
    Ok(version.context(answer.body)?.trim_start_matches('v').to_owned())
}

async fn status(plane: &ControlPlane, server: &str, path: &str) -> Result<u16> {
    Ok(plane.ask(server, path).await?.status)
}

/// What kubectl prints; an error when it fails.
async fn run(kubeconfig: &Kubeconfig, args: &[&str]) -> Result<String> {
    let output = kubectl(kubeconfig, args).await?;
    ensure!(output.succeeded(), "kubectl {args:?}: {output}");
    Ok(output.stdout)
}

/// The command lines that name the folder of a rig.
fn processes_of(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.to_str().context("a folder whose name is no text")?;
    let commands = std::fs::read_dir("/proc")?
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok())
        .filter(|command| command.contains(folder));
    Ok(commands.collect())
}
