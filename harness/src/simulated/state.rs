//! What a simulated server is told and what it was asked, shared by its handle and its connections.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Version, header};

use super::{Discovery, Fault, Matcher};
use crate::client::Client;

/// A request that a simulated server was sent.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When its body was complete.
    pub at: Instant,
    /// The other end of its connection: two requests with the same one shared it.
    pub peer: SocketAddr,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// `:authority`, or `Host`; empty when there was none.
    pub authority: String,
    /// Path and query as they came.
    pub target: String,
    /// All headers. `Host` is among them on HTTP/1.1.
    pub headers: HeaderMap,
    /// Length of the body.
    pub body_bytes: usize,
}

impl Recorded {
    /// The path alone, as it came.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The first value of a header, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn new(peer: SocketAddr, head: &Parts, body_bytes: usize) -> Self {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = head.uri.authority().map(|authority| authority.as_str()).or(host);
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        Self {
            at: Instant::now(),
            peer,
            version: head.version,
            method: head.method.clone(),
            authority: authority.unwrap_or_default().to_owned(),
            target: target.to_owned(),
            headers: head.headers.clone(),
            body_bytes,
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) version: String,
    /// The real server that answers where nothing is wrong.
    pub(super) real: Option<Client>,
    discovery: Mutex<Discovery>,
    /// In the order in which they were set.
    faults: Mutex<Vec<(Matcher, Fault)>>,
    requests: Mutex<Vec<Recorded>>,
}

impl State {
    pub(super) fn new(
        name: String,
        version: String,
        real: Option<Client>,
        discovery: Discovery,
    ) -> Self {
        Self {
            name,
            version,
            real,
            discovery: Mutex::new(discovery),
            faults: Mutex::default(),
            requests: Mutex::default(),
        }
    }

    pub(super) fn discovery(&self) -> MutexGuard<'_, Discovery> {
        locked(&self.discovery)
    }

    pub(super) fn set_discovery(&self, discovery: Discovery) {
        *self.discovery() = discovery;
    }

    pub(super) fn set_fault(&self, matcher: Matcher, fault: Fault) {
        let mut faults = locked(&self.faults);
        faults.retain(|(known, _)| *known != matcher);
        faults.push((matcher, fault));
    }

    pub(super) fn heal(&self, matcher: &Matcher) {
        locked(&self.faults).retain(|(known, _)| known != matcher);
    }

    pub(super) fn heal_all(&self) {
        locked(&self.faults).clear();
    }

    pub(super) fn fault_of(&self, request: &Recorded) -> Option<Fault> {
        let faults = locked(&self.faults);
        let found = faults.iter().rev().find(|(matcher, _)| matcher.matches(request));
        found.map(|(_, fault)| fault.clone())
    }

    pub(super) fn record(&self, request: Recorded) {
        locked(&self.requests).push(request);
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        locked(&self.requests).clone()
    }

    pub(super) fn forget_requests(&self) {
        locked(&self.requests).clear();
    }
}

/// A test that failed while it held a lock has said so already; the others go on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
