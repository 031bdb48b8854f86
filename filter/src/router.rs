//! Per request: path bytes -> decision -> header edits. Never waits, fetches nothing, reads no body;
//! `replaced` has the answers that it replaces.
//!
//! In a healthy cluster of equal servers a request costs one host call: reading its path. With client
//! certificates it costs one more, and for a caller with one another for each header that says who it
//! is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use peerway_core::answer::NOT_YET;
use peerway_core::config::{self, Affinity};
use peerway_core::decide::{Decision, Knowledge, Peers, Reason, decide};
use peerway_core::edits::{destinations, edits};
use peerway_core::identity::{self, Claim};
use peerway_core::negotiate;
use peerway_core::request::{Target, decoded_path};
use peerway_core::serving_map::ServingMap;
use peerway_core::snapshot;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::replaced::Replaced;
use crate::{host, shared, test_switch, witness};

/// How often a worker looks for a new map, in milliseconds.
const TICK_MS: u64 = 50;

/// What the requests of one worker share.
pub(crate) struct Router {
    config: config::Router,
    /// When Envoy came to know these servers.
    started_ms: u64,
    held: RefCell<Held>,
    certificates: RefCell<identity::Known>,
    /// As of the last tick: certificates end by it.
    now_ms: Cell<u64>,
    turn: Cell<usize>,
    decisions: [host::Counter; Reason::ALL.len()],
    maps_refused: host::Counter,
}

/// The map that this worker decides by.
#[derive(Default)]
struct Held {
    /// Generation that was last looked at, decodable or not.
    generation: u64,
    map: Option<Rc<ServingMap>>,
    expired: bool,
    /// Whether servers that were never read are still waited for.
    starting: bool,
}

impl Router {
    pub(crate) fn new(config: config::Router) -> Self {
        let counter = |reason: Reason| {
            host::Counter::define(&format!("peerway_requests_total;reason={}", reason.name()))
        };
        let router = Self {
            started_ms: shared::started_ms(&config.servers, host::now_ms()),
            config,
            held: RefCell::default(),
            certificates: RefCell::default(),
            now_ms: Cell::default(),
            turn: Cell::new(0),
            decisions: Reason::ALL.map(counter),
            maps_refused: host::Counter::define("peerway_maps_refused_total"),
        };
        router.on_tick();
        host::tick_every(TICK_MS);
        router
    }

    /// Takes a new map if there is one, and notices when the old one is no longer renewed.
    pub(crate) fn on_tick(&self) {
        let now_ms = host::now_ms();
        self.now_ms.set(now_ms);
        let mut held = self.held.borrow_mut();
        held.starting = self.config.is_starting(self.started_ms, now_ms);
        let Some((generation, renewed_ms)) = shared::beat() else { return };
        held.expired = self.config.is_expired(renewed_ms, now_ms);
        if held.generation == generation {
            return;
        }
        held.generation = generation;
        match snapshot::decode(shared::map().unwrap_or_default(), &self.config.servers) {
            Ok(map) => held.map = Some(Rc::new(map)),
            Err(error) => {
                self.maps_refused.increment();
                host::log(host::Level::Warn, &format!("generation {generation}: {error}"));
            }
        }
    }

    /// What becomes of a request, and the answer that it gets if that is a merged document.
    fn decide(&self, raw: &[u8]) -> (Decision, Option<Box<Replaced>>) {
        let Some(path) = decoded_path(raw) else { return (Decision::Untouched, None) };
        let target = match Target::of(&path) {
            Target::Discovery(..) => {
                let accept = host::request_header("accept").unwrap_or_default();
                negotiate::target(&path, &String::from_utf8_lossy(&accept))
            }
            target => target,
        };
        let held = self.held.borrow();
        let knowledge = match &held.map {
            Some(map) if held.expired => Knowledge::Expired(map),
            map if held.starting => Knowledge::Starting(map.as_deref()),
            None => Knowledge::NoMap,
            Some(map) => Knowledge::Map(map),
        };
        let by_turn = |turn| decide(target, &self.config.servers, knowledge, turn);
        let turn = self.turn.get();
        let mut decision = by_turn(turn);
        if decision == Decision::Untouched {
            return (decision, None);
        }
        match self.config.affinity {
            // Only now, since asking for it costs a call of the host.
            Affinity::Connection => decision = by_turn(host::connection_number() as usize),
            Affinity::None => self.turn.set(turn.wrapping_add(1)),
        }
        let replaced = match (&decision, target) {
            (Decision::Merged(_), Target::Discovery(scope, form)) => {
                Some(Box::new(Replaced::new(scope, form, raw)))
            }
            _ => None,
        };
        (decision, replaced)
    }

    /// Says for the caller who it is, when it has shown a certificate. Returns why it is to be refused.
    fn vouch(&self) -> Option<&'static str> {
        if !self.config.client_certificates {
            return None;
        }
        let fingerprint = host::request_header(identity::CERTIFICATE)?;
        let pem = || host::property(&["connection", "peer_certificate"]).unwrap_or_default();
        let certificate = self.certificates.borrow_mut().get(&fingerprint, pem);
        match certificate.at(self.now_ms.get() / 1_000) {
            Claim::Caller(headers) => {
                for (name, value) in headers {
                    host::add_request_header(name, value);
                }
            }
            Claim::Error => {}
            Claim::Refused(why) => return Some(why),
        }
        None
    }

    fn carry_out(&self, decision: &Decision) {
        for edit in edits(decision, &self.config.servers) {
            host::set_request_header(edit.name, &edit.value);
        }
        host::choose_route_again();
        // Behind a connection through the server, somebody else's 404 means something else; and of a
        // document that is merged, each server may know nothing.
        if let Decision::Peers(Peers { once: false, order, gone, unasked, .. }) = decision {
            let list: Vec<_> = order.iter().copied().chain(unasked.iter()).collect();
            let list = destinations(&list, &self.config.servers);
            host::set_filter_state(witness::LIST, list.as_bytes());
            if !gone.is_empty() {
                let gone: Vec<_> = gone.iter().collect();
                let gone = destinations(&gone, &self.config.servers);
                host::set_filter_state(witness::GONE, gone.as_bytes());
            }
        }
        if let Some(reason) = decision.reason() {
            host::set_filter_state("peerway_reason", reason.name().as_bytes());
            let of_reason = Reason::ALL.iter().zip(&self.decisions);
            for (_, counter) in of_reason.filter(|(known, _)| **known == reason) {
                counter.increment();
            }
        }
    }
}

/// One request.
pub(crate) struct Request {
    router: Rc<Router>,
    /// There when its answer is to be replaced.
    replaced: Option<Box<Replaced>>,
}

impl Request {
    pub(crate) fn new(router: Rc<Router>) -> Self {
        Self { router, replaced: None }
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(why) = self.router.vouch() {
            host::reply(401, "application/json", &identity::refusal(why));
            return Action::Pause;
        }
        let Some(path) = host::request_header(":path") else { return Action::Continue };
        test_switch::panic_if_asked(&path, "router");
        let (decision, replaced) = self.router.decide(&path);
        if decision == Decision::Untouched {
            return Action::Continue;
        }
        self.replaced = replaced;
        self.router.carry_out(&decision);
        if let Decision::NotYet(_) = decision {
            let headers = vec![("content-type", "application/json"), ("retry-after", "1")];
            host::reply_with(503, headers, NOT_YET.as_bytes());
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let replaced = self.replaced.as_mut();
        replaced.map_or(Action::Continue, |replaced| replaced.on_headers(end_of_stream))
    }

    fn on_http_response_body(&mut self, body_bytes: usize, _: bool) -> Action {
        if let Some(replaced) = &mut self.replaced {
            replaced.on_body(body_bytes);
        }
        Action::Continue
    }
}
