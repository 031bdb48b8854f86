//! The companion fetcher: ticks and answers -> `peerway_core::poll` -> questions and shared data; and
//! the answers of the loopback listener.
//!
//! Every worker has one of these VMs, and any of them can poll: the one that holds the lease does.
//! Envoy's own health check asks `/readyz` all the time, which brings a crashed VM back.

use std::collections::BTreeMap;

use peerway_core::config;
use peerway_core::gauges::gauges;
use peerway_core::lease::{Claim, claim};
use peerway_core::poll::{Answer, Call, Effect, Event, Poller};
use peerway_core::record::Document;
use peerway_core::{discovery, edits, status_page};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::{host, shared, test_switch};

/// How often a VM looks at the lease and at what is due, in milliseconds.
const TICK_MS: u64 = 50;

/// One VM's fetcher.
pub(crate) struct Fetcher {
    config: config::Fetcher,
    /// This VM's name in the lease.
    me: u64,
    /// There while this VM holds the lease.
    poller: Option<Poller>,
    /// Questions under way, by the host's token.
    asked: BTreeMap<u32, Call>,
    /// The last request for a refresh that was seen.
    refreshed: Option<(u64, u64)>,
    metrics: host::Metrics,
}

impl Fetcher {
    pub(crate) fn new(config: config::Fetcher) -> Self {
        host::tick_every(TICK_MS);
        let refreshed = shared::refresh_wanted();
        Self {
            config,
            me: host::now_ns(),
            poller: None,
            asked: BTreeMap::new(),
            refreshed,
            metrics: host::Metrics::default(),
        }
    }

    pub(crate) fn on_tick(&mut self) {
        let now_ms = host::now_ms();
        let (lease, read) = shared::lease();
        match claim(lease.as_deref(), self.me, now_ms) {
            Claim::Leave => self.forget(),
            Claim::Take => {
                // Somebody else may have polled since this VM did.
                self.forget();
                shared::set_lease(self.me, now_ms, read);
            }
            Claim::Renew => {
                if shared::set_lease(self.me, now_ms, read) {
                    self.poll(now_ms);
                }
            }
        }
    }

    /// Takes the answer to a question; `answered` is false when there was none.
    pub(crate) fn on_answer(&mut self, token: u32, answered: bool, body_bytes: usize) {
        let Some(call) = self.asked.remove(&token) else { return };
        let now_ms = host::now_ms();
        // This VM may have been held up until another one took over.
        if claim(shared::lease().0.as_deref(), self.me, now_ms) != Claim::Renew {
            return self.forget();
        }
        if !answered {
            // There are no headers to ask for then, and asking would kill the VM.
            return self.handle(Event::Reply(call, Answer::default()), now_ms);
        }
        let readable = body_bytes > 0 && body_bytes <= discovery::MAX_DOCUMENT_BYTES;
        let body = if readable { host::answer_body(body_bytes) } else { Vec::new() };
        let status = std::str::from_utf8(&host::answer_header(":status")).unwrap_or("").parse();
        let answer = Answer {
            status: status.unwrap_or_default(),
            content_type: &host::answer_header("content-type"),
            etag: &host::answer_header("etag"),
            body: &body,
            body_bytes,
        };
        self.handle(Event::Reply(call, answer), now_ms);
    }

    /// What is known, and what was asked for: another VM goes on with what was saved.
    fn forget(&mut self) {
        self.poller = None;
        self.asked.clear();
    }

    pub(crate) fn question(&self) -> Question {
        Question { servers: self.config.servers.clone() }
    }

    fn poll(&mut self, now_ms: u64) {
        if self.poller.is_none() {
            let status = shared::status();
            let config = self.config.clone();
            self.poller = Some(Poller::resume(config, &status, shared::document));
        }
        let wanted = shared::refresh_wanted();
        let event = if wanted == self.refreshed { Event::Tick } else { Event::Refresh };
        self.refreshed = wanted;
        self.handle(event, now_ms);
    }

    fn handle(&mut self, event: Event<'_>, now_ms: u64) {
        let Some(poller) = &mut self.poller else { return };
        let mut unsent = Vec::new();
        for effect in poller.handle(event, now_ms) {
            match effect {
                Effect::Ask { call, path, accept, if_none_match, timeout_ms } => {
                    let Some(server) = self.config.servers.get(call.server) else { continue };
                    let mut headers = vec![
                        (":method", "GET"),
                        (":path", path.as_str()),
                        (":authority", self.config.authority.as_str()),
                        (edits::DESTINATIONS, server.address.as_str()),
                        ("accept", accept),
                        ("user-agent", concat!("peerway/", env!("CARGO_PKG_VERSION"))),
                    ];
                    headers.extend(if_none_match.as_deref().map(|etag| ("if-none-match", etag)));
                    match host::send_get(&self.config.cluster, headers, timeout_ms) {
                        Some(token) => drop(self.asked.insert(token, call)),
                        None => unsent.push(call),
                    }
                }
                Effect::SaveDocument(at) => {
                    if let Some((server, document)) = poller.document(at) {
                        shared::set_document(server, document);
                    }
                }
                Effect::SaveStatus => {
                    let status = poller.status();
                    shared::set_status(&status);
                    for (name, value) in gauges(&status) {
                        self.metrics.set(name, value);
                    }
                }
                Effect::PublishDocument(key, document) => shared::set_merged(&key, &document),
                Effect::Publish(generation, snapshot) => {
                    shared::set_map(&snapshot);
                    shared::set_beat(generation, now_ms);
                }
                Effect::Renew(generation) => {
                    shared::set_beat(generation, now_ms);
                    self.metrics.set("peerway_map_renewed_seconds".to_owned(), now_ms / 1_000);
                }
                Effect::Count(at, outcome) => {
                    let Some(server) = self.config.servers.get(at) else { continue };
                    let (name, outcome) = (&server.name, outcome.name());
                    let metric = format!("peerway_looks_total;server={name};outcome={outcome}");
                    self.metrics.count(metric);
                }
                Effect::Log(line) => host::log(host::Level::Info, &line),
            }
        }
        for call in unsent {
            self.handle(Event::Reply(call, Answer::default()), now_ms);
        }
    }
}

/// One request to the loopback listener. Any VM answers, from what the polling one keeps.
pub(crate) struct Question {
    servers: Vec<peerway_core::servers::Server>,
}

impl Context for Question {}

impl HttpContext for Question {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let path = host::request_header(":path").unwrap_or_default();
        test_switch::panic_if_asked(&path, "fetcher");
        test_switch::garble_map_if_asked(&path);
        match path.split(|byte| *byte == b'?').next() {
            Some(b"/readyz") if shared::beat().is_some() => host::reply(200, "text/plain", "ok\n"),
            Some(b"/readyz") => {
                host::reply(503, "text/plain", "no map yet: no server's discovery could be read\n");
            }
            Some(b"/refresh") => {
                shared::want_refresh(host::now_ns());
                host::reply(202, "text/plain", "looking at all servers\n");
            }
            Some(b"/map") => self.map(),
            // Not ours: the route answers 404.
            _ => return Action::Continue,
        }
        Action::Pause
    }
}

impl Question {
    fn map(&self) {
        let mut status = shared::status();
        status.servers = self.servers.iter().map(|server| status.of(server)).collect();
        let documents: Vec<Option<Document>> = self.servers.iter().map(shared::document).collect();
        match serde_json::to_string(&status_page::page(&status, &documents, host::now_ms())) {
            Ok(page) => host::reply(200, "application/json", &page),
            Err(error) => host::reply(500, "text/plain", &format!("{error}\n")),
        }
    }
}
