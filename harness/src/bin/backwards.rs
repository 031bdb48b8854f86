//! `make backwards`: how often reads from the caches of three real kube-apiservers go back in time,
//! asked at one server, by connection, and by request.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use peerway_harness::backwards::{Reader, measure};
use peerway_harness::balancer::Builder;
use peerway_harness::client::Protocol;
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::workload::direct;
use serde_json::json;

/// Reads of each reader.
const READS: usize = 1_000;
/// Readers of each kind, each with a connection of its own.
const READERS: usize = 2;
const VERSION: &str = "1.37.2";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let servers = ["a", "b", "c"];
    let describe =
        |plane: peerway_harness::control_plane::Builder, name| plane.server(name, VERSION);
    let plane = servers.into_iter().fold(ControlPlane::builder(), describe).start().await?;
    let writer = direct(&plane, "a", Protocol::Http1)?;
    tell(&format!(
        "{} readers, {READS} reads each, of one object from the watch caches of three servers of {VERSION}",
        3 * READERS
    ));
    tell("  writes/s  requests go to            reads   went back  of 1,000  furthest");
    for per_second in [10, 100] {
        let pace = Duration::from_millis(1_000 / per_second);
        let through: [(&str, Option<&str>); 3] = [
            ("one server", None),
            ("one for a connection", Some("connection")),
            ("the next one each time", Some("none")),
        ];
        for (what, affinity) in through {
            let balancer = match affinity {
                None => None,
                Some(affinity) => {
                    let builder = Builder::before(&plane).setting("affinity", json!(affinity));
                    let balancer = builder.start().await?;
                    balancer.all_confirmed().await?;
                    Some(balancer)
                }
            };
            let url = match &balancer {
                None => plane.url("b")?.to_owned(),
                Some(balancer) => balancer.url(),
            };
            let name = format!("{}-{per_second}", affinity.unwrap_or("direct"));
            let kubeconfig = plane.kubeconfig_for(&name, &url, ADMIN_TOKEN)?;
            let mut readers = Vec::new();
            for protocol in [Protocol::Http1, Protocol::Http2] {
                for _ in 0..READERS {
                    let client = match &balancer {
                        None => direct(&plane, "b", protocol)?,
                        Some(balancer) => balancer.client(ADMIN_TOKEN, protocol)?,
                    };
                    readers.push(Reader::Raw(client));
                }
            }
            readers.extend((0..READERS).map(|_| Reader::Kube(kubeconfig.path().to_owned())));
            let seen = measure(&writer, pace, readers, READS).await.context(what)?;
            let share = seen.back as f64 * 1_000.0 / seen.reads as f64;
            tell(&format!(
                "  {per_second:>8}  {what:<24}{:>7}{:>12}{share:>10.1}{:>10}",
                seen.reads, seen.back, seen.furthest
            ));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line program")]
fn tell(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "a command line program")]
fn tell_error(error: &anyhow::Error) {
    eprintln!("backwards: {error:#}");
}
