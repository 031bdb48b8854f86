//! A client that makes an object, reads, lists and changes it, sometimes removes it, and goes on
//! with the next; between, it asks for what is not there.
//!
//! Each object is made by `generateName`, whose beginning no other request has: however often the
//! creation was carried out, so many objects there are. A patch tests what it replaces, and a
//! second removal finds nothing, so those that are carried out twice fail.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::Common;
use super::api::{Api, CSI_NODE_STATUS, NOBODYS, PATCHED};
use super::caller::Caller;
use crate::chaos::record::{Class, Kind, Presence, Seen, is_write, words};
use crate::client::{Answer, Request};

/// What is known of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Never sent.
    NotTried,
    /// Acknowledged.
    Done,
    /// Answered in a way that says that nothing was executed.
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

/// One object, from being made to being removed.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) api: Api,
    /// The object's name without what the server adds to it; no other object's begins so.
    pub(crate) prefix: String,
    pub(crate) created: Fate,
    pub(crate) patched: Fate,
    pub(crate) deleted: Fate,
}

/// Visits until the load ends.
pub(super) async fn keep_visiting(
    name: &'static str,
    caller: Caller,
    apis: Vec<Api>,
    common: Arc<Common>,
) -> Vec<Visit> {
    let visitor = Visitor { name, caller, common };
    let mut visits = Vec::new();
    for (number, api) in apis.iter().cycle().enumerate() {
        if visitor.common.is_ending() {
            break;
        }
        let is_absent = visitor.common.recorder.presence() == Presence::Absent;
        if api.class() == Class::New && is_absent {
            visitor.common.pause(PAUSE).await;
            continue;
        }
        visits.push(visitor.visit(*api, number).await);
        visitor.ask_for_what_nobody_has(number).await;
    }
    visits
}

struct Visitor {
    name: &'static str,
    caller: Caller,
    common: Arc<Common>,
}

impl Visitor {
    async fn visit(&self, api: Api, number: usize) -> Visit {
        let prefix = format!("{}-{}-{number}-", self.common.mark, self.name);
        let mut visit = Visit {
            api,
            created: Fate::NotTried,
            patched: Fate::NotTried,
            deleted: Fate::NotTried,
            prefix,
        };
        let class = api.class();
        let object = api.object(json!({"generateName": visit.prefix}));
        let create = |target: String| Request::new(Method::POST, target).json(&object);
        let (kind, answer) = self.ask(class, Method::POST, api.path(), 201, create).await;
        visit.created = fate(kind);
        let Some(name) = answer.as_ref().and_then(name_in) else { return visit };

        let one = format!("{}/{name}", api.path());
        self.ask(class, Method::GET, &one, 200, Request::get).await;
        self.ask(class, Method::GET, &format!("{one}-missing"), 404, Request::get).await;
        let list = |target: String| Request::get(format!("{target}&limit=5"));
        self.ask(class, Method::GET, api.path(), 200, list).await;
        if api.class() == Class::New {
            self.ask(class, Method::GET, CSI_NODE_STATUS, 200, Request::get).await;
        }
        let label = format!("/metadata/labels/{PATCHED}");
        let patch = json!([
            {"op": "test", "path": label, "value": "no"},
            {"op": "replace", "path": label, "value": "yes"},
        ]);
        let patch = |target: String| {
            let request = Request::new(Method::PATCH, target);
            request.body("application/json-patch+json", patch.to_string())
        };
        visit.patched = fate(self.ask(class, Method::PATCH, &one, 200, patch).await.0);
        if number.is_multiple_of(2) {
            let delete = |target: String| Request::new(Method::DELETE, target);
            visit.deleted = fate(self.ask(class, Method::DELETE, &one, 200, delete).await.0);
        }
        visit
    }

    async fn ask_for_what_nobody_has(&self, number: usize) {
        for path in NOBODYS.iter().skip(number % NOBODYS.len()).take(1) {
            self.ask(Class::Absent, Method::GET, path, 404, Request::get).await;
        }
    }

    /// Asks, and again for as long as the answer is to come back, as client-go does.
    async fn ask(
        &self,
        class: Class,
        method: Method,
        path: &str,
        expected: u16,
        request: impl Fn(String) -> Request,
    ) -> (Kind, Option<Answer>) {
        let expected = StatusCode::from_u16(expected).unwrap_or_default();
        let recorder = &self.common.recorder;
        for _ in 0..TRIES {
            self.common.pause(PAUSE).await;
            let pending = recorder.begin();
            let target = format!("{path}?{NUMBER}{}", pending.number);
            let answer = self.caller.send(request(target)).await;
            let kind = recorder.kind(&pending, class, expected, &answer);
            let what = format!("{method} {path}");
            let mut seen = Seen::new(self.name, what, class, is_write(&method), kind);
            if kind != Kind::Done {
                seen.words = words(&answer);
            }
            recorder.end(&pending, seen);
            if kind != Kind::ComeBack || !self.caller.leaves_retries_to_us() {
                return (kind, answer.ok());
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        (Kind::ComeBack, None)
    }
}

fn fate(kind: Kind) -> Fate {
    match kind {
        Kind::Done => Fate::Done,
        Kind::ComeBack | Kind::Unsettled | Kind::FalseNotFound => Fate::Refused,
        Kind::MayHaveRun | Kind::Broken | Kind::Silent | Kind::Wrong => Fate::Unknown,
    }
}

fn name_in(answer: &Answer) -> Option<String> {
    let object = answer.json().ok().filter(|_| answer.status == StatusCode::CREATED)?;
    object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
}

/// In the query: by that the access log tells who answered.
pub(crate) const NUMBER: &str = "asked=";
/// Four clients with this pause make some 60 requests a second.
const PAUSE: Duration = Duration::from_millis(50);
/// As often as client-go.
const TRIES: usize = 10;
/// What Peerway and servers that end ask for.
const RETRY_AFTER: Duration = Duration::from_secs(1);
