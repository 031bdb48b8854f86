//! Reads that go back in time: a client that reads from a server's watch cache
//! (`resourceVersion=0`, as kubelets and informers do) and then from another's, which lags behind,
//! sees an older object than it has seen. Writers and readers in, how often and how far out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::GetParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Config, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, Request};

/// What readers saw, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Reads.
    pub reads: usize,
    /// Reads that returned an older object than the same reader had seen.
    pub back: usize,
    /// By how many writes, at most.
    pub furthest: u64,
}

/// Someone who reads the same object again and again, from any server's cache.
#[derive(Debug)]
pub enum Reader {
    /// The harness's own client, by this connection.
    Raw(Client),
    /// kube-rs, by this kubeconfig file.
    Kube(std::path::PathBuf),
}

/// Writes one object, at this pace, while each reader reads it so many times. `writer` should not
/// go through what is measured.
pub async fn measure(
    writer: &Client,
    pace: Duration,
    readers: Vec<Reader>,
    reads: usize,
) -> Result<Seen> {
    let stop = Arc::new(AtomicBool::new(false));
    write(writer, 0).await?;
    let writing = tokio::spawn(keep_writing(writer.clone(), pace, Arc::clone(&stop)));
    let mut reading = JoinSet::new();
    for reader in readers {
        reading.spawn(read(reader, reads));
    }
    let mut seen = Seen::default();
    while let Some(one) = reading.join_next().await {
        let one = one.context("a reader panicked")??;
        seen.reads += one.reads;
        seen.back += one.back;
        seen.furthest = seen.furthest.max(one.furthest);
    }
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.context("the writer panicked")??;
    ensure!(written > 0, "nothing was written");
    Ok(seen)
}

async fn keep_writing(writer: Client, pace: Duration, stop: Arc<AtomicBool>) -> Result<u64> {
    let mut turn = tokio::time::interval(pace);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        turn.tick().await;
        number += 1;
        write(&writer, number).await?;
    }
    Ok(number)
}

async fn write(writer: &Client, number: u64) -> Result<()> {
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": NAME},
        "data": {NUMBER: number.to_string()}});
    let request = Request::new(hyper::Method::PATCH, format!("{PATH}?fieldManager=writer"));
    let answer =
        writer.send(request.body("application/apply-patch+yaml", object.to_string())).await?;
    ensure!(answer.status.is_success(), "{}: {}", answer.status, answer.text());
    Ok(())
}

async fn read(reader: Reader, reads: usize) -> Result<Seen> {
    let kube = match &reader {
        Reader::Raw(_) => None,
        Reader::Kube(file) => {
            let kubeconfig = Kubeconfig::read_from(file)?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
            Some(Api::<ConfigMap>::namespaced(kube::Client::try_from(config)?, "default"))
        }
    };
    let mut seen = Seen { reads, ..Seen::default() };
    let mut newest = 0;
    for _ in 0..reads {
        let number = match (&reader, &kube) {
            (Reader::Raw(client), _) => {
                let answer = client.get(&format!("{PATH}?resourceVersion=0")).await?;
                number_of(&answer.json()?)?
            }
            (Reader::Kube(_), Some(api)) => {
                let object = api.get_with(NAME, &GetParams::at("0")).await?;
                let data = object.data.as_ref().and_then(|data| data.get(NUMBER));
                let name = object.name_any();
                data.with_context(|| format!("no number in {name}"))?.parse()?
            }
            (Reader::Kube(_), None) => continue,
        };
        if number < newest {
            seen.back += 1;
            seen.furthest = seen.furthest.max(newest - number);
        }
        newest = number.max(newest);
    }
    Ok(seen)
}

fn number_of(object: &Value) -> Result<u64> {
    let number = object.pointer("/data/number").and_then(Value::as_str);
    Ok(number.with_context(|| format!("no number in {object}"))?.parse()?)
}

const NAME: &str = "backwards";
const NUMBER: &str = "number";
const PATH: &str = "/api/v1/namespaces/default/configmaps/backwards";
