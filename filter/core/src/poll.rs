//! The fetcher's loop as a state machine: (event, now) -> effects.
//!
//! Each server is looked at by itself once in every poll interval: `/readyz` first, then, when that
//! is good, both discovery roots with the ETags of the last reading. One that does not answer in time
//! is asked last from then on, and looked at again at once; only when it is late several times in a
//! row does it count as gone. One that may only be busy is told from one that is frozen by a question
//! that waits for nothing, asked while `/readyz` is waited for. What a server once said is kept for as
//! long as it is configured: a refusal, a bad document or its death never removes it. Knows no clock
//! (time is an argument, in milliseconds since the epoch) and no host: `Effect`s are carried out by
//! whoever drives it, and `record` has what another VM needs to go on from here.

mod ask;
mod outcome;
mod publish;
mod reading;
mod tracked;

use crate::cluster::MergedDocument;
use crate::config::Fetcher;
use crate::discovery::{GroupVersion, Root, read_api_services};
use crate::openapi::{Question, Reader};
use crate::record::{Document, ServerRecord, Status};
use crate::servers::Server;
use crate::serving_map::{PageKey, Rows, Standing};

pub use ask::{Ask, Call};
pub use outcome::Outcome;
pub use reading::Answer;
use reading::Reading;
use tracked::{Tracked, version_of};

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Time passed.
    Tick,
    /// Somebody wants all servers looked at now.
    Refresh,
    /// A question was answered, or failed (status 0).
    Reply(Call, Answer<'a>),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask a server; the answer comes back as [`Event::Reply`].
    Ask {
        /// To be given back with the answer.
        call: Call,
        /// Request path.
        path: String,
        /// `accept`.
        accept: &'static str,
        /// `if-none-match`, when a document is known.
        if_none_match: Option<String>,
        /// How long it may take, in milliseconds.
        timeout_ms: u64,
    },
    /// Keep a server's document for the VM that takes over.
    SaveDocument(usize),
    /// Keep the standings for the VM that takes over.
    SaveStatus,
    /// Give the workers a merged document, before the map that speaks of it.
    PublishDocument(PageKey, MergedDocument),
    /// Give the workers a new map, of this generation.
    Publish(u64, Vec<u8>),
    /// Tell the workers that the map of this generation is being renewed.
    Renew(u64),
    /// Count what became of a look at a server.
    Count(usize, Outcome),
    /// Tell people.
    Log(String),
}

/// Everything that is known of the servers, and what is under way.
#[derive(Debug)]
pub struct Poller {
    config: Fetcher,
    servers: Vec<Tracked>,
    /// The standings that the map shows. They stay as they were while no server is confirmed.
    shown: Vec<Standing>,
    published: Option<Rows>,
    generation: u64,
    round: u64,
    openapi: Reader,
}

/// A server that has only plain discovery is read this often: each time costs a request for each
/// group-version.
const PLAIN_REREAD_MS: u64 = 10_000;

impl Poller {
    /// Goes on from what an earlier VM left. `documents` gives the saved document of an address.
    pub fn resume(
        config: Fetcher,
        status: &Status,
        documents: impl Fn(&Server) -> Option<Document>,
    ) -> Self {
        let servers: Vec<_> = config
            .servers
            .iter()
            .map(|server| Tracked {
                record: status.of(server),
                document: documents(server),
                ready: false,
                probing: None,
                sign: None,
                late: None,
                refused: 0,
                owes_api_services: false,
                next_probe_ms: 0,
                reading: None,
            })
            .collect();
        let shown = servers.iter().map(|server| server.record.shown()).collect();
        Self {
            config,
            servers,
            shown,
            published: None,
            generation: status.generation,
            round: 0,
            openapi: Reader::default(),
        }
    }

    /// Takes an event. Effects are to be carried out in order.
    pub fn handle(&mut self, event: Event<'_>, now_ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => self.tick(now_ms, &mut effects),
            Event::Refresh => {
                self.servers.iter_mut().for_each(|server| server.next_probe_ms = now_ms);
                self.tick(now_ms, &mut effects);
            }
            Event::Reply(call, answer) => self.reply(call, &answer, now_ms, &mut effects),
        }
        effects
    }

    /// What another VM needs to go on from here.
    pub fn status(&self) -> Status {
        let with_shown = |(server, shown): (&Tracked, &Standing)| server.record.showing(*shown);
        Status {
            generation: self.generation,
            servers: self.servers.iter().zip(&self.shown).map(with_shown).collect(),
        }
    }

    /// The document of the server at this place, and whose it is.
    pub fn document(&self, server: usize) -> Option<(&Server, &Document)> {
        Some((self.config.servers.get(server)?, self.servers.get(server)?.document.as_ref()?))
    }

    fn tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.published.is_none() {
            self.publish(effects);
        }
        let mut looked = false;
        for at in 0..self.servers.len() {
            let Some(server) = self.servers.get_mut(at) else {
                continue;
            };
            // A clock that was set back must not stop the polling.
            let due = now_ms >= server.next_probe_ms
                || server.next_probe_ms > now_ms + self.config.poll_interval_ms;
            let is_halfway = |since_ms| now_ms >= since_ms + self.config.probe_timeout_ms / 2;
            match server.probing {
                None if due => {
                    (server.probing, server.sign) = (Some(now_ms), None);
                    server.next_probe_ms = now_ms + self.config.poll_interval_ms;
                    self.ask(at, Ask::Ready, effects);
                    looked = true;
                }
                Some(since_ms) if server.sign.is_none() && is_halfway(since_ms) => {
                    server.sign = Some(false);
                    self.ask(at, Ask::Sign, effects);
                }
                _ => {}
            }
        }
        let questions = self.openapi.due(now_ms);
        self.ask_openapi(questions, effects);
        if looked && self.published.is_some() {
            effects.push(Effect::Renew(self.generation));
        }
    }

    fn reply(&mut self, call: Call, answer: &Answer<'_>, now_ms: u64, effects: &mut Vec<Effect>) {
        let at = call.server;
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        match call.ask {
            Ask::Ready => {
                server.probing = None;
                self.probed(at, answer.status, now_ms, effects);
            }
            Ask::Version => {
                let version = version_of(answer);
                if !version.is_empty() {
                    server.record.version = version;
                }
                // Servers that list the same may still describe it differently.
                self.publish(effects);
            }
            Ask::Sign => {
                if server.signed(answer.status) {
                    self.publish(effects);
                    effects.push(Effect::SaveStatus);
                }
            }
            Ask::ApiServices => {
                server.owes_api_services = matches!(answer.status, 0 | 429 | 500..);
                let found = answer.whole().and_then(|body| read_api_services(body).ok());
                let document = server.document.as_mut();
                if document.is_some_and(|it| it.apis.share(&found.unwrap_or_default())) {
                    effects.push(Effect::SaveDocument(at));
                    self.publish(effects);
                }
            }
            Ask::OpenApi(path) => {
                let question = Question { server: at, path };
                let (questions, is_new) = self.openapi.hear(&question, answer.whole());
                self.ask_openapi(questions, effects);
                if is_new {
                    self.publish(effects);
                }
            }
            ask @ (Ask::Root(_) | Ask::Resources(_)) => {
                if let Some(asks) = server.hear(call.round, &ask, answer) {
                    self.go_on(at, asks, now_ms, effects);
                }
            }
        }
    }
}

impl Poller {
    fn probed(&mut self, at: usize, status: u16, now_ms: u64, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        let (before, was_silent) = (server.record.standing(), server.record.silent);
        effects.push(Effect::Count(at, server.probed(status, now_ms)));
        let changed = server.record.silent != was_silent;
        let is_there = !matches!(server.record.standing(), Standing::Late | Standing::Gone);
        if is_there {
            let owes_api_services = std::mem::take(&mut server.owes_api_services);
            if server.record.version.is_empty() || before == Standing::Gone {
                self.ask(at, Ask::Version, effects);
            }
            if owes_api_services {
                self.ask(at, Ask::ApiServices, effects);
            }
            self.start_reading(at, now_ms, effects);
        }
        self.after_change(at, before, changed, effects);
    }

    fn start_reading(&mut self, at: usize, now_ms: u64, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        let plain = server.document.as_ref().is_some_and(|document| document.core_etag.is_empty());
        let fresh = now_ms.saturating_sub(server.record.read_ms) < PLAIN_REREAD_MS;
        let enough = plain && fresh && server.record.standing() == Standing::Confirmed;
        if server.reading.is_some() || enough {
            return;
        }
        self.round += 1;
        server.reading = Some((self.round, Reading::new()));
        self.ask(at, Ask::Root(Root::Core), effects);
        self.ask(at, Ask::Root(Root::Named), effects);
    }

    /// Asks on, or, when the reading is complete, takes what it says.
    fn go_on(
        &mut self,
        at: usize,
        asks: Vec<GroupVersion>,
        now_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        for gv in asks {
            self.ask(at, Ask::Resources(gv), effects);
        }
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        let finished = server.reading.as_mut().and_then(|(_, reading)| reading.finished());
        let Some(outcomes) = finished else { return };
        server.reading = None;
        let (before, read_before_ms) = (server.record.standing(), server.record.read_ms);
        let outcome = server.take(outcomes, now_ms);
        effects.push(Effect::Count(at, outcome));
        let changed = outcome == Outcome::Read;
        let passed = read_before_ms..=server.record.read_ms;
        let is_remembered = server.record.standing().is_remembered();
        if changed {
            effects.push(Effect::SaveDocument(at));
            // Another version may have taken its place between two looks.
            self.ask(at, Ask::Version, effects);
            self.ask(at, Ask::ApiServices, effects);
        }
        // What a confirmed server leaves out counts against what others are remembered for, if its
        // document is the newer one.
        let overtook = self.servers.iter().enumerate().any(|(other_at, other)| {
            let is_either = is_remembered || other.record.standing().is_remembered();
            other_at != at && passed.contains(&other.record.read_ms) && is_either
        });
        self.after_change(at, before, changed || overtook, effects);
    }

    /// Publishes when the map may have changed.
    fn after_change(
        &mut self,
        at: usize,
        before: Standing,
        changed: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(server) = self.servers.get(at) else {
            return;
        };
        let now = server.record.standing();
        // On a busy machine late ones come and go.
        let is_news = now != Standing::Late && (before != Standing::Late || now == Standing::Gone);
        if now != before && is_news {
            let ServerRecord { name, address, problem, .. } = &server.record;
            let why = if problem.is_empty() { "" } else { ": " };
            effects
                .push(Effect::Log(format!("{name} ({address}) is {}{why}{problem}", now.name())));
        }
        if changed || now != before {
            self.publish(effects);
        }
        effects.push(Effect::SaveStatus);
    }
}

#[cfg(test)]
mod tests;
