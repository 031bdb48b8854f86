//! A steady beat of reads: one that hangs, or is told to come back, does not delay the next, so
//! that there is a request for each moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Common;
use super::api::Api;
use super::caller::Caller;
use super::visit::NUMBER;
use crate::chaos::record::Kind;
use crate::chaos::record::{Class, Presence, Seen, words};
use crate::client::Request;

/// Lists an API ten times a second until the load ends.
pub(super) async fn keep_probing(caller: Caller, api: Api, common: Arc<Common>) -> Result<()> {
    let caller = Arc::new(caller);
    let mut probes = JoinSet::new();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !common.is_ending() {
        beat.tick().await;
        while probes.try_join_next().is_some() {}
        let is_absent = common.recorder.presence() == Presence::Absent;
        if api.class() == Class::Everywhere || !is_absent {
            probes.spawn(probe(Arc::clone(&caller), api, Arc::clone(&common)));
        }
    }
    probes.join_all().await;
    Ok(())
}

async fn probe(caller: Arc<Caller>, api: Api, common: Arc<Common>) {
    let recorder = &common.recorder;
    let pending = recorder.begin();
    let path = api.path();
    let request = Request::get(format!("{path}?limit=1&{NUMBER}{}", pending.number));
    let answer = caller.send(request).await;
    let kind = recorder.kind(&pending, api.class(), StatusCode::OK, &answer);
    let mut seen = Seen::new("probe", format!("GET {path}"), api.class(), false, kind);
    if kind != Kind::Done {
        seen.words = words(&answer);
    }
    recorder.end(&pending, seen);
}

const BEAT: Duration = Duration::from_millis(100);
