//! A script of what servers answer, and when -> the fetcher's loop, and the VMs that take it over.
//!
//! A line is an event: `t250` lets 250 ms pass and ticks, `r` refreshes, `n` lets a new VM go on from
//! what was saved, `a200c` answers the oldest open question with status 200 and document `c`, `z200c`
//! the newest. Behind a line of three dashes stands the document `x`.

use std::collections::{BTreeMap, VecDeque};

use peerway_core::cluster::MergedDocument;
use peerway_core::config::Fetcher;
use peerway_core::poll::{Answer, Call, Effect, Event, Poller};
use peerway_core::record::{Document, Status};
use peerway_core::request::{Form, Scope};
use peerway_core::serving_map::page_key;
use peerway_core::snapshot::decode;

use crate::input::SERVERS;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";

/// Content type and body of the documents that a script has no need to spell out; which letter is
/// which is their place, from `a` on.
const DOCUMENTS: [(&str, &str); 8] = [
    ("text/plain", "ok"),
    (JSON, r#"{"gitVersion":"v1.36.3"}"#),
    (
        AGGREGATED,
        r#"{"kind":"APIGroupDiscoveryList","items":[{"versions":[{"version":"v1","resources":[{"resource":"pods","verbs":["get"]}]}]}]}"#,
    ),
    (
        AGGREGATED,
        r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[{"resource":"deployments","verbs":["get"]}]}]}]}"#,
    ),
    (
        AGGREGATED,
        r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[{"resource":"deployments","verbs":["get"]},{"resource":"widgets","responseKind":{"group":"apps","version":"v1"},"verbs":["delete","create"]}]}]}]}"#,
    ),
    (JSON, r#"{"kind":"APIVersions","versions":["v1"]}"#),
    (JSON, r#"{"kind":"APIGroupList","groups":[{"name":"apps","versions":[{"version":"v1"}]}]}"#),
    (JSON, r#"{"kind":"APIResourceList","resources":[{"name":"pods"},{"name":"pods/log"}]}"#),
];

/// Scripts are short: what a hundred events do not break, more of them do not either.
const MAX_EVENTS: usize = 100;

pub(crate) fn check(data: &[u8]) {
    let at = data.windows(5).position(|window| window == b"\n---\n").unwrap_or(data.len());
    let (script, own) = data.split_at(at);
    let own = own.get(5..).unwrap_or_default();
    let mut world = World::new();
    for line in script.split(|byte| *byte == b'\n').take(MAX_EVENTS) {
        let Some((event, rest)) = line.split_first() else { continue };
        match event {
            b't' => world.pass(number(rest)),
            b'r' => world.happen(Event::Refresh),
            b'n' => world.take_over(),
            b'a' | b'z' => world.answer(*event == b'a', rest, own),
            _ => {}
        }
    }
}

/// The poller, and what the host keeps for it.
struct World {
    poller: Poller,
    now_ms: u64,
    open: VecDeque<Call>,
    status: Vec<u8>,
    documents: BTreeMap<String, Vec<u8>>,
    published: Option<(u64, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        Self {
            poller: Poller::resume(config(), &Status::default(), |_| None),
            now_ms: 1_000,
            open: VecDeque::new(),
            status: Vec::new(),
            documents: BTreeMap::new(),
            published: None,
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms = self.now_ms.saturating_add(ms.min(3_600_000));
        self.happen(Event::Tick);
    }

    fn answer(&mut self, is_oldest: bool, how: &[u8], own: &[u8]) {
        let call = if is_oldest { self.open.pop_front() } else { self.open.pop_back() };
        let Some(call) = call else { return };
        let letter = how.last().copied().unwrap_or_default();
        let known = DOCUMENTS.get(usize::from(letter.wrapping_sub(b'a')));
        let known = known.map(|(content_type, body)| (*content_type, body.as_bytes()));
        let (content_type, body) = known.unwrap_or((AGGREGATED, own));
        let answer = Answer {
            status: u16::try_from(number(how)).unwrap_or_default(),
            content_type: content_type.as_bytes(),
            etag: if content_type == AGGREGATED { b"\"E\"" } else { b"" },
            body,
            body_bytes: body.len(),
        };
        self.happen(Event::Reply(call, answer));
    }

    fn happen(&mut self, event: Event<'_>) {
        for effect in self.poller.handle(event, self.now_ms) {
            self.carry_out(effect);
        }
        for at in 0..SERVERS.len() {
            let known = self.poller.document(at).map(|(server, _)| &server.address);
            let saved = SERVERS.get(at).filter(|it| self.documents.contains_key(&it.address));
            assert_eq!(known, saved.map(|server| &server.address), "what was read is kept");
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Ask { call, path, .. } => {
                assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()));
                self.open.push_back(call);
            }
            Effect::SaveDocument(at) => {
                let Some((server, document)) = self.poller.document(at) else {
                    unreachable!("a document that is not there is to be saved");
                };
                self.documents.insert(server.address.clone(), document.to_bytes());
            }
            Effect::SaveStatus => self.status = self.poller.status().to_bytes(),
            Effect::Publish(generation, bytes) => {
                let before = self.published.as_ref().map_or(0, |(generation, _)| *generation);
                assert!(generation > before, "generation {generation} after {before}");
                assert!(decode(bytes.clone(), &*SERVERS).is_ok(), "no worker can read the map");
                self.published = Some((generation, bytes));
            }
            Effect::Renew(generation) => {
                let published = self.published.as_ref().map(|(generation, _)| *generation);
                assert_eq!(published, Some(generation), "another map is renewed than is there");
            }
            Effect::PublishDocument(_, document) => {
                assert_eq!(MergedDocument::from_bytes(document.to_bytes()), Ok(document));
            }
            Effect::Count(at, _) => assert!(SERVERS.get(at).is_some()),
            Effect::Log(line) => assert!(!line.is_empty()),
        }
    }

    /// The VM crashes, its questions with it; the next one goes on.
    fn take_over(&mut self) {
        let status = Status::from_bytes(self.status.clone()).unwrap_or_default();
        let document =
            |address: &String| Document::from_bytes(self.documents.get(address)?.clone());
        self.poller = Poller::resume(config(), &status, |server| document(&server.address));
        self.open.clear();
        let before = self.published.clone();
        self.happen(Event::Tick);
        if let (Some((_, before)), Some((_, now))) = (before, &self.published) {
            let is_same = before == *now || but_openapi(&before) == but_openapi(now);
            assert!(is_same, "a new VM shows another map than the one before it");
        }
    }
}

/// A map without what a new VM has yet to read, and answers 503 for.
fn but_openapi(map: &[u8]) -> String {
    let Ok(mut map) = decode(map.to_vec(), &*SERVERS) else { unreachable!("it was read before") };
    let of_openapi = [Form::OpenApi, Form::OpenApiIndex].map(|it| page_key(Scope::Cluster, it));
    map.pages.retain(|(key, _)| !of_openapi.iter().any(|form| key.starts_with(form)));
    format!("{map:?}")
}

fn config() -> Fetcher {
    Fetcher {
        servers: SERVERS.to_vec(),
        cluster: "fetch".to_owned(),
        authority: "kubernetes.default.svc".to_owned(),
        poll_interval_ms: 1_000,
        probe_timeout_ms: 1_000,
        discovery_timeout_ms: 10_000,
    }
}

/// The digits at the beginning.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).take(18);
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
