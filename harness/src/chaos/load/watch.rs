//! A kube-rs watcher with its reflector, as a controller has it: what it hears, in order, and what
//! its cache holds in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use tokio::task::JoinHandle;

use super::api::{Api, NAMESPACE};
use crate::process::wait_until;

/// Something that a watcher heard.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// An object was made or changed, at this revision.
    Applied(u64),
    /// An object was removed, at this revision.
    Deleted(u64),
    /// It was told to begin anew, and this is all that there is: names and revisions.
    Listed(BTreeMap<String, u64>),
}

/// What a watcher heard.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) api: Api,
    pub(crate) heard: Vec<Heard>,
    /// How often the watch broke or could not begin, in kube-rs's words.
    pub(crate) errors: BTreeMap<String, usize>,
    /// What its cache held in the end; names and revisions.
    pub(crate) cache: BTreeMap<String, u64>,
    /// Whether it heard of the last object in time.
    pub(crate) reached_the_end: bool,
}

pub(super) struct Watcher {
    api: Api,
    store: Store<DynamicObject>,
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Log {
    heard: Vec<Heard>,
    errors: BTreeMap<String, usize>,
    listing: BTreeMap<String, u64>,
}

impl Watcher {
    pub(super) fn start(api: Api, client: Client) -> Self {
        let log = Arc::<Mutex<Log>>::default();
        let resource = api.resource();
        let kube = match api {
            Api::Bundles => kube::Api::all_with(client, &resource),
            _ => kube::Api::namespaced_with(client, NAMESPACE, &resource),
        };
        let writer = reflector::store::Writer::new(resource);
        let store = writer.as_reader();
        let stream = watcher::watcher(kube, watcher::Config::default());
        let mut stream = Box::pin(reflector::reflector(writer, stream.default_backoff()));
        let noted = Arc::clone(&log);
        let task = tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                locked(&noted).note(event);
            }
        });
        Self { api, store, log, task }
    }

    /// Waits until it has been told what there is, or that there is no such API.
    pub(super) async fn watches(&self) -> Result<()> {
        let watches = async || {
            let log = locked(&self.log);
            !log.heard.is_empty() || !log.errors.is_empty()
        };
        wait_until("watching", LIMIT, watches).await
    }

    /// Ends it, when it has heard of the object of `ends` that is for its API.
    pub(super) async fn end(mut self, ends: &[(Api, String)]) -> Watched {
        let end = ends.iter().find(|(api, _)| *api == self.api).map(|(_, name)| name);
        let reached = async || {
            let Some(end) = end else { return true };
            self.store.state().iter().any(|object| object.name_any() == *end)
        };
        let reached_the_end = wait_until("at the end", LIMIT, reached).await.is_ok();
        self.task.abort();
        // Only then has it noted all that its cache holds.
        let _ = (&mut self.task).await;
        let cache = self.store.state().iter().map(|object| name_and_revision(object)).collect();
        let mut log = locked(&self.log);
        Watched {
            api: self.api,
            heard: std::mem::take(&mut log.heard),
            errors: std::mem::take(&mut log.errors),
            cache,
            reached_the_end,
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("api", &self.api).finish_non_exhaustive()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Log {
    fn note(&mut self, event: watcher::Result<Event<DynamicObject>>) {
        match event {
            Ok(Event::Apply(object)) => {
                self.heard.push(Heard::Applied(name_and_revision(&object).1));
            }
            Ok(Event::Delete(object)) => {
                self.heard.push(Heard::Deleted(name_and_revision(&object).1));
            }
            Ok(Event::Init) => self.listing.clear(),
            Ok(Event::InitApply(object)) => {
                self.listing.extend([name_and_revision(&object)]);
            }
            Ok(Event::InitDone) => {
                self.heard.push(Heard::Listed(std::mem::take(&mut self.listing)));
            }
            Err(error) => *self.errors.entry(in_full(&error)).or_default() += 1,
        }
    }
}

fn name_and_revision(object: &DynamicObject) -> (String, u64) {
    let revision = object.resource_version().and_then(|text| text.parse().ok());
    (object.name_any(), revision.unwrap_or_default())
}

/// An error with all that it comes from.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn locked(log: &Mutex<Log>) -> std::sync::MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// kube-rs waits up to 30 s before it tries a broken watch again, and a relist as long again.
const LIMIT: Duration = Duration::from_secs(75);
