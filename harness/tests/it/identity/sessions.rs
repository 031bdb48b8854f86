//! What rides on upgraded connections and on answers without end: the real kubectl, into pods that kwok
//! plays, by certificate and by token, over both of kubectl's protocols, on servers of two versions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, fake_node};
use peerway_harness::kubeconfig::{Kubeconfig, command, kubectl, kubectl_with_input};
use peerway_harness::process::{Process, wait_until};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::time::timeout;

use crate::rig::{SOON, no_vm_died};

const POD: &str = "pod-1";

/// The protocol of kubectl's upgrades.
#[derive(Debug, Clone, Copy)]
enum Upgrade {
    Spdy,
    WebSocket,
}

/// Where the pod's programs run, and what it says.
struct Pod {
    folder: TempDir,
    _kwok: Process,
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_reaches_into_pods_by_certificate_and_by_token_over_spdy_and_websocket() {
    let builder = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2");
    let plane = builder.start().await.unwrap();
    let pod = Pod::start(&plane).await.unwrap();
    for versions in [["old"], ["new"]] {
        let mut balancer = balancer(&plane, &versions).await.unwrap();
        let kubeconfigs = kubeconfigs(&plane, &balancer).unwrap();
        let cat = ["exec", "-i", POD, "--", "cat"];
        let mut silent = Session::start(&kubeconfigs[0], Upgrade::WebSocket, &cat).await.unwrap();
        silent.echoes("before").await.unwrap();
        for (who, kubeconfig) in kubeconfigs.iter().enumerate() {
            for upgrade in [Upgrade::Spdy, Upgrade::WebSocket] {
                let tried = pod.upgrades(kubeconfig, upgrade).await;
                tried.with_context(|| format!("{versions:?} {upgrade:?} {who}")).unwrap();
                let tried = pod.copies(kubeconfig, upgrade).await;
                tried.with_context(|| format!("{versions:?} {upgrade:?} {who}")).unwrap();
            }
            let tried = pod.streams(kubeconfig, &format!("{}-{who}", versions[0])).await;
            tried.with_context(|| format!("{versions:?} {who}")).unwrap();
        }
        silent.echoes("after the silence").await.unwrap();
        no_vm_died(&mut balancer).await.unwrap();
    }
}

async fn balancer(plane: &ControlPlane, names: &[&str]) -> Result<Balancer> {
    let servers = plane.servers().into_iter().filter(|(name, _)| names.contains(name));
    let servers = servers.map(|(name, address)| (name.to_owned(), address.to_owned())).collect();
    // Connections with the front proxy's certificate end after a time, sessions on them do not.
    let balancer = Builder::of(servers, plane.pki())
        .identity(plane.pki())
        .replacing("max_connection_duration: 300s", "max_connection_duration: 2s");
    let balancer = balancer.start().await?;
    balancer.all_confirmed().await?;
    Ok(balancer)
}

/// One with a certificate, one with a token.
fn kubeconfigs(plane: &ControlPlane, balancer: &Balancer) -> Result<[Kubeconfig; 2]> {
    let root = plane.pki().user_authority.client("root", &["system:masters"])?;
    let root = root.write(balancer.folder(), "root")?;
    let path = balancer.folder().join("certificate.kubeconfig");
    let ca = &plane.pki().serving_ca;
    let by_certificate = Kubeconfig::write_with(&path, &balancer.url(), ca, &root)?;
    let path = balancer.folder().join("token.kubeconfig");
    Ok([by_certificate, Kubeconfig::write(&path, &balancer.url(), ca, ADMIN_TOKEN)?])
}

impl Pod {
    async fn start(plane: &ControlPlane) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("log"), line("first"))?;
        let objects = objects(folder.path(), echo().await?);
        let (name, _) = *plane.servers().first().context("no server")?;
        let kubeconfig = plane.kubeconfig(name, ADMIN_TOKEN)?;
        let kwok = plane.kwok_with(&kubeconfig, &objects).await?;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD},
            "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "none", "stdin": true}]},
        });
        for manifest in [fake_node("node-1"), pod.to_string()] {
            let made = kubectl_with_input(&kubeconfig, &["apply", "-f", "-"], &manifest).await?;
            ensure!(made.succeeded(), "{made}");
        }
        let runs = async || {
            let phase = ["get", "pod", POD, "-o", "jsonpath={.status.phase}"];
            kubectl(&kubeconfig, &phase).await.is_ok_and(|output| output.stdout == "Running")
        };
        wait_until("the pod runs", SOON, runs).await?;
        Ok(Self { folder, _kwok: kwok })
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn speaks(&self, text: &str) -> Result<()> {
        let mut log = std::fs::OpenOptions::new().append(true).open(self.log())?;
        Ok(std::io::Write::write_all(&mut log, line(text).as_bytes())?)
    }

    async fn upgrades(&self, kubeconfig: &Kubeconfig, upgrade: Upgrade) -> Result<()> {
        let both = ["exec", POD, "--", "sh", "-c", "echo out; echo err >&2"];
        let output = run(kubeconfig, upgrade, &both).await?;
        let said = (output.status.code(), output.stdout.as_slice(), output.stderr.as_slice());
        ensure!(said == (Some(0), b"out\n", b"err\n"), "{output:?}");

        let cat = ["exec", "-i", POD, "--", "cat"];
        Session::start(kubeconfig, upgrade, &cat).await?.echoes("to cat and back").await?;

        let forward = ["port-forward", POD, ":80"];
        let mut forward = Session::start(kubeconfig, upgrade, &forward).await?;
        let said = forward.says("Forwarding from 127.0.0.1:").await?;
        let port = said
            .split(['.', ':', ' '])
            .find_map(|word| word.parse::<u16>().ok().filter(|n| *n > 1_000));
        echoes(port.with_context(|| said.clone())?).await?;

        // Nothing tells when it is attached: the pod speaks until it is heard.
        let mut attached = Session::start(kubeconfig, upgrade, &["attach", POD]).await?;
        for _ in 0..60 {
            self.speaks("attached")?;
            let heard = timeout(Duration::from_millis(300), attached.says("attached")).await;
            if let Ok(heard) = heard {
                return heard.map(drop);
            }
        }
        anyhow::bail!("nothing is heard of the pod")
    }

    /// `kubectl cp` into the pod and out of it, where it runs tar.
    async fn copies(&self, kubeconfig: &Kubeconfig, upgrade: Upgrade) -> Result<()> {
        let outside = tempfile::tempdir()?;
        let path = |name: &str| outside.path().join(name).display().to_string();
        let [there, back] = ["there", "back"].map(path);
        let kept: Vec<u8> = (0..300_000u32).map(|at| (at.wrapping_mul(at) >> 8) as u8).collect();
        std::fs::write(&there, &kept)?;
        let in_pod = format!("{POD}:kept");
        for [from, to] in [[&there, &in_pod], [&in_pod, &back]] {
            let output = run(kubeconfig, upgrade, &["cp", from, to]).await?;
            ensure!(output.status.success(), "{output:?}");
        }
        ensure!(std::fs::read(self.folder.path().join("kept"))? == kept, "something else arrived");
        ensure!(std::fs::read(back)? == kept, "something else came back");
        Ok(std::fs::remove_file(self.folder.path().join("kept"))?)
    }

    async fn streams(&self, kubeconfig: &Kubeconfig, name: &str) -> Result<()> {
        let mut logs = Session::start(kubeconfig, Upgrade::Spdy, &["logs", "-f", POD]).await?;
        logs.says("first").await?;
        self.speaks(name)?;
        logs.says(name).await?;

        let watch = ["get", "configmaps", "--watch-only", "--output-watch-events", "-o", "name"];
        let mut watch = Session::start(kubeconfig, Upgrade::Spdy, &watch).await?;
        // Nothing tells when a watch has begun: maps are made until one shows.
        let mut made = 0;
        loop {
            made += 1;
            let map = format!("{name}-{made}");
            let output = kubectl(kubeconfig, &["create", "configmap", &map]).await?;
            ensure!(output.succeeded() && made < 50, "{output}");
            if let Ok(seen) = timeout(Duration::from_millis(300), watch.says(name)).await {
                seen?;
                return Ok(());
            }
        }
    }
}

/// A line of a pod's log as container runtimes write it.
fn line(text: &str) -> String {
    format!("2026-01-01T00:00:00.000000000Z stdout F {text}\n")
}

/// What kwok has to be told of what is done in pods.
fn objects(folder: &Path, forward_to: u16) -> String {
    let log = folder.join("log");
    let object = |kind: &str, spec: serde_json::Value| json!({"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": kind, "metadata": {"name": "all"}, "spec": spec});
    let target = json!({"address": "127.0.0.1", "port": forward_to});
    let objects = [
        object("ClusterExec", json!({"execs": [{"local": {"workDir": folder}}]})),
        object("ClusterPortForward", json!({"forwards": [{"target": target}]})),
        object("ClusterLogs", json!({"logs": [{"logsFile": log, "follow": true}]})),
        object("ClusterAttach", json!({"attaches": [{"logsFile": log}]})),
    ];
    objects.map(|object| object.to_string()).join("\n---\n")
}

/// A port that says what it is told.
async fn echo() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    Ok(port)
}

async fn echoes(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let sent = vec![b'y'; 100_000];
    let (mut read, mut write) = stream.split();
    let mut back = vec![0; sent.len()];
    let both = async { tokio::try_join!(write.write_all(&sent), read.read_exact(&mut back)) };
    timeout(SOON, both).await.context("nothing comes back from the port")??;
    ensure!(back == sent, "something else came back");
    Ok(())
}

/// kubectl's own switches, each of which stands for one of its commands.
const SWITCHES: [&str; 2] =
    ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"];

async fn start(
    kubeconfig: &Kubeconfig,
    upgrade: Upgrade,
    args: &[&str],
) -> Result<(TempDir, Child)> {
    let home = tempfile::tempdir()?;
    let mut command = command(kubeconfig, home.path()).await?;
    let websockets = matches!(upgrade, Upgrade::WebSocket).to_string();
    let child = command.args(args).envs(SWITCHES.map(|name| (name, &websockets))).spawn()?;
    Ok((home, child))
}

async fn run(
    kubeconfig: &Kubeconfig,
    upgrade: Upgrade,
    args: &[&str],
) -> Result<std::process::Output> {
    let (_home, mut child) = start(kubeconfig, upgrade, args).await?;
    drop(child.stdin.take());
    let output = timeout(SOON, child.wait_with_output()).await;
    Ok(output.with_context(|| format!("{args:?} does not end"))??)
}

/// A kubectl that goes on.
struct Session {
    _home: TempDir,
    child: Child,
    said: BufReader<tokio::process::ChildStdout>,
}

impl Session {
    async fn start(kubeconfig: &Kubeconfig, upgrade: Upgrade, args: &[&str]) -> Result<Self> {
        let (home, mut child) = start(kubeconfig, upgrade, args).await?;
        let said = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { _home: home, child, said })
    }

    /// Waits for a line with this in it.
    async fn says(&mut self, what: &str) -> Result<String> {
        let wait = async {
            loop {
                let mut line = String::new();
                if self.said.read_line(&mut line).await? == 0 {
                    let mut errors = String::new();
                    if let Some(mut stderr) = self.child.stderr.take() {
                        stderr.read_to_string(&mut errors).await?;
                    }
                    anyhow::bail!("kubectl ended without {what:?}: {errors}");
                }
                if line.contains(what) {
                    return Ok(line);
                }
            }
        };
        timeout(SOON, wait).await.with_context(|| format!("kubectl does not say {what:?}"))?
    }

    async fn echoes(&mut self, words: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("no input")?;
        input.write_all(format!("{words}\n").as_bytes()).await?;
        input.flush().await?;
        self.says(words).await.map(drop)
    }
}
