//! Somebody who types kubectl commands, one after the other: each starts without a cache, so each
//! asks for discovery first.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Common;
use super::api::{Api, NAMESPACE};
use crate::chaos::record::{Class, Kind, Presence, Recorder, Seen};
use crate::kubeconfig::{Kubeconfig, Output, kubectl_with_input};

/// Types until the load ends.
pub(super) async fn keep_typing(kubeconfig: Kubeconfig, common: Arc<Common>) -> Result<()> {
    for round in 0_usize.. {
        for commands in commands(&common.mark, round) {
            for command in commands {
                if common.is_ending() {
                    return Ok(());
                }
                let is_absent = common.recorder.presence() == Presence::Absent;
                let is_hidden = common.recorder.is_hidden();
                if (is_absent || is_hidden) && command.api.class() == Class::New {
                    break;
                }
                let kind = type_in(&kubeconfig, &common.recorder, &command).await?;
                common.pause(PAUSE).await;
                if kind != Kind::Done {
                    // What was not made cannot be got.
                    break;
                }
            }
        }
    }
    Ok(())
}

struct Command {
    api: Api,
    arguments: Vec<String>,
    input: String,
    writes: bool,
}

/// For each API, those that build on one another.
fn commands(mark: &str, round: usize) -> Vec<[Command; 3]> {
    let command = |api: Api, line: &str, input: &str, writes| Command {
        api,
        arguments: line.split(' ').map(str::to_owned).collect(),
        input: input.to_owned(),
        writes,
    };
    let all = Api::ALL.iter().map(|&api| {
        let name = format!("{mark}-kubectl-{round}");
        let metadata = match api {
            Api::Bundles => json!({"name": name}),
            _ => json!({"name": name, "namespace": NAMESPACE}),
        };
        let object = api.object(metadata).to_string();
        let scope = if api == Api::Bundles { String::new() } else { format!(" -n {NAMESPACE}") };
        let plural = api.plural();
        [
            command(api, &format!("create{scope} -f -"), &object, true),
            command(api, &format!("get {plural}{scope} {name}"), "", false),
            command(api, &format!("delete {plural}{scope} {name}"), "", true),
        ]
    });
    all.collect()
}

async fn type_in(kubeconfig: &Kubeconfig, recorder: &Recorder, command: &Command) -> Result<Kind> {
    let arguments: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
    let class = command.api.class();
    let pending = recorder.begin();
    let output = kubectl_with_input(kubeconfig, &arguments, &command.input).await?;
    let mut kind = kind(&output);
    if kind == Kind::FalseNotFound && class == Class::New && recorder.may_be_absent(&pending) {
        kind = Kind::Unsettled;
    }
    let what = format!("kubectl {}", arguments.join(" "));
    let mut seen = Seen::new("kubectl", what, class, command.writes, kind);
    if kind != Kind::Done {
        seen.words = output.stderr.trim().to_owned();
    }
    recorder.end(&pending, seen);
    Ok(kind)
}

/// kubectl says it in words alone.
fn kind(output: &Output) -> Kind {
    let says = |words: &str| output.stderr.contains(words);
    if output.succeeded() {
        Kind::Done
    } else if says("NotFound") || says("doesn't have a resource type") || says("no matches for") {
        Kind::FalseNotFound
    } else if says("ServiceUnavailable") || says("TooManyRequests") {
        Kind::ComeBack
    } else if says("may have executed") {
        Kind::MayHaveRun
    } else if says("EOF") || says("connection") || says("stream error") {
        Kind::Broken
    } else {
        Kind::Wrong
    }
}

/// A command takes a third of a second of a processor.
const PAUSE: Duration = Duration::from_millis(1_500);
