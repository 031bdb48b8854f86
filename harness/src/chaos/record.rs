//! What clients were answered, when, and what was done to whom meanwhile.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};

use crate::client::Answer;
use crate::workload::says_not_known;

/// What is asked for, by who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// An API that every server has.
    Everywhere,
    /// An API that came with the newer version.
    New,
    /// An API that no server ever had.
    Absent,
}

/// What came back, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What a server that has the API says to such a request; of what is missing, 404.
    Done,
    /// 404 for an API while it was being added to the servers, or taken from them.
    Unsettled,
    /// 503 or 429 with `Retry-After`: nothing was executed, clients wait and ask again.
    ComeBack,
    /// 502 or 504: it may have been executed.
    MayHaveRun,
    /// No answer, or half of one: the connection or the stream broke.
    Broken,
    /// No answer within the client's patience.
    Silent,
    /// 404 for what is there.
    FalseNotFound,
    /// Anything else.
    Wrong,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it was sent, from the beginning of the record.
    pub at: Duration,
    /// How long the answer took, to its end.
    pub took: Duration,
    /// Which client.
    pub client: String,
    /// Its number, which stands in the query of those requests that the load builds itself.
    pub number: u64,
    /// For people: method and path, or a command.
    pub what: String,
    /// Who has what it asked for.
    pub class: Class,
    /// Whether it changes something.
    pub writes: bool,
    /// Whether it was clear all the time who has it: not while the new API is being added or taken
    /// away.
    pub settled: bool,
    /// What came back.
    pub kind: Kind,
    /// The answer in short, where it was not `Done`.
    pub words: String,
    /// The server that answered, where Envoy's access log tells.
    pub server: Option<String>,
}

/// Something that was done to the servers, or to what is between.
#[derive(Debug, Clone)]
pub struct Mark {
    /// When, from the beginning of the record.
    pub at: Duration,
    /// What.
    pub text: String,
    /// The server that it was done to, and how that one is from then on.
    pub server: Option<(String, Condition)>,
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It serves, as this version.
    Serves(String),
    /// It serves, and something is wrong with it.
    Faulty(String),
    /// It is about to end.
    Ends,
    /// It is not there, or does not answer.
    Away(&'static str),
}

/// Whether the new API is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// Being added or taken away: both 200 and 404 are true.
    Unsettled,
    There,
}

/// Collects from any number of tasks.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    seen: Vec<Seen>,
    marks: Vec<Mark>,
    numbers: u64,
    presence: Presence,
    /// Whether discovery may leave the new API out, though it is there.
    hidden: bool,
    /// How often `presence` was set.
    changes: u64,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) number: u64,
    sent: Instant,
    presence: Presence,
    changes: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        let inner = Inner {
            seen: Vec::new(),
            marks: Vec::new(),
            numbers: 0,
            presence: Presence::There,
            hidden: false,
            changes: 0,
        };
        Self { begun: Instant::now(), inner: Mutex::new(inner) }
    }
}

impl Recorder {
    /// How long it has been recording.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How many answers there are.
    pub fn answers(&self) -> usize {
        self.inner().seen.len()
    }

    /// Notes that something was done.
    pub fn mark(&self, text: impl Into<String>) {
        let mark = Mark { at: self.elapsed(), text: text.into(), server: None };
        self.inner().marks.push(mark);
    }

    /// Notes that something was done to a server.
    pub(super) fn mark_server(&self, name: &str, condition: Condition, text: String) {
        let server = Some((name.to_owned(), condition));
        let mark = Mark { at: self.elapsed(), text, server };
        self.inner().marks.push(mark);
    }

    /// Everything so far, in the order of sending.
    pub(super) fn take(&self) -> (Vec<Seen>, Vec<Mark>) {
        let mut inner = self.inner();
        let mut seen = std::mem::take(&mut inner.seen);
        seen.sort_by_key(|seen| seen.at);
        (seen, std::mem::take(&mut inner.marks))
    }

    pub(super) fn set_presence(&self, presence: Presence) {
        let mut inner = self.inner();
        inner.presence = presence;
        inner.changes += 1;
    }

    pub(super) fn presence(&self) -> Presence {
        self.inner().presence
    }

    pub(super) fn set_hidden(&self, hidden: bool) {
        self.inner().hidden = hidden;
    }

    /// Whether who goes by discovery, as kubectl and the namespace controller do, may not find the new
    /// API, though it is there.
    pub(super) fn is_hidden(&self) -> bool {
        self.inner().hidden
    }

    pub(super) fn begin(&self) -> Pending {
        let mut inner = self.inner();
        inner.numbers += 1;
        Pending {
            number: inner.numbers,
            sent: Instant::now(),
            presence: inner.presence,
            changes: inner.changes,
        }
    }

    /// The kind of an answer to a request for which `expected` is right, and a 404 is not unless it
    /// is that.
    pub(super) fn kind(
        &self,
        pending: &Pending,
        class: Class,
        expected: StatusCode,
        answer: &anyhow::Result<Answer>,
    ) -> Kind {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if format!("{error:#}").contains("no complete answer within") => {
                return Kind::Silent;
            }
            Err(_) => return Kind::Broken,
        };
        let not_known = says_not_known(answer);
        match answer.status.as_u16() {
            _ if answer.status == expected && (class == Class::Absent || !not_known) => Kind::Done,
            404 if class == Class::New && self.may_be_absent(pending) => Kind::Unsettled,
            404 => Kind::FalseNotFound,
            503 | 429 if answer.header("retry-after").is_some() => Kind::ComeBack,
            502 | 504 => Kind::MayHaveRun,
            _ => Kind::Wrong,
        }
    }

    /// Whether the new API was, at any time since the request was sent, not surely there.
    pub(super) fn may_be_absent(&self, pending: &Pending) -> bool {
        let inner = self.inner();
        let was_there = pending.presence == Presence::There;
        !was_there || inner.presence != Presence::There || inner.changes != pending.changes
    }

    pub(super) fn end(&self, pending: &Pending, mut seen: Seen) {
        seen.at = pending.sent.saturating_duration_since(self.begun);
        seen.took = pending.sent.elapsed();
        seen.number = pending.number;
        seen.settled = seen.class != Class::New || !self.may_be_absent(pending);
        self.inner().seen.push(seen);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, took) = (self.at.as_secs_f64(), self.took.as_secs_f64());
        let server = self.server.as_deref().unwrap_or("nobody known");
        write!(f, "at {at:.1} s, {} {}: {} by {server} ", self.client, self.what, self.kind)?;
        write!(f, "after {took:.1} s: {}", self.words)
    }
}

impl Seen {
    pub(super) fn new(client: &str, what: String, class: Class, writes: bool, kind: Kind) -> Self {
        Self {
            at: Duration::ZERO,
            took: Duration::ZERO,
            client: client.to_owned(),
            number: 0,
            what,
            class,
            writes,
            settled: true,
            kind,
            words: String::new(),
            server: None,
        }
    }
}

/// What a person needs of an answer that was not right.
pub(super) fn words(answer: &anyhow::Result<Answer>) -> String {
    let text = match answer {
        Ok(answer) => format!("{} {}", answer.status.as_u16(), answer.text()),
        Err(error) => format!("{error:#}"),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST_WORDS).collect()
}

pub(super) fn is_write(method: &Method) -> bool {
    ![Method::GET, Method::HEAD].contains(method)
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Everywhere, Self::New, Self::Absent];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Everywhere => "APIs that all servers have",
            Self::New => "APIs that only new servers have",
            Self::Absent => "APIs that no server has",
        })
    }
}

impl Kind {
    /// All of them, best first.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Unsettled,
        Self::ComeBack,
        Self::MayHaveRun,
        Self::Broken,
        Self::Silent,
        Self::FalseNotFound,
        Self::Wrong,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Done => "as it should be",
            Self::Unsettled => "404 while the API came or went",
            Self::ComeBack => "503 with Retry-After",
            Self::MayHaveRun => "502",
            Self::Broken => "connection broken",
            Self::Silent => "no answer in time",
            Self::FalseNotFound => "false 404",
            Self::Wrong => "something else",
        })
    }
}

/// A `Status` in full, and the name of who said it.
const MOST_WORDS: usize = 400;
