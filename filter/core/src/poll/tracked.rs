//! One server as the fetcher follows it: what is known of it, and what is under way.

use super::reading::{Answer, Outcome, Reading};
use super::{Ask, Outcome as Look};
use crate::apis::Apis;
use crate::cluster::Source;
use crate::discovery::{GroupVersion, Root};
use crate::json::Json;
use crate::record::{Document, ServerRecord};
use crate::serving_map::{Standing, View};

/// How often in a row a server may be late before it is gone. What is asked of it alone would else
/// never be answered "not there" while it is frozen.
const LATE_PROBES: u32 = 3;
/// How often in a row a server that was gone must refuse the fetcher to count as back. One that has
/// just begun to listen refuses everybody, until it has read its RBAC rules.
const REFUSED_PROBES: u32 = 3;

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) record: ServerRecord,
    pub(super) document: Option<Document>,
    /// Whether the last `/readyz` was good; a refused one says nothing.
    pub(super) ready: bool,
    /// Since when `/readyz` is waited for.
    pub(super) probing: Option<u64>,
    /// Whether it gave a sign of life meanwhile; nothing if it was not asked for one.
    pub(super) sign: Option<bool>,
    /// How it stood before its first late probe, and how many there were in a row.
    pub(super) late: Option<(Standing, u32)>,
    /// How often in a row the fetcher was not let in to `/readyz`.
    pub(super) refused: u32,
    /// Whether it could not say, when it was asked, what is served by other API servers.
    pub(super) owes_api_services: bool,
    pub(super) next_probe_ms: u64,
    pub(super) reading: Option<(u64, Reading)>,
}

impl Tracked {
    /// Gives an answer to the reading that asked. Returns what to ask for next, `None` when that
    /// reading is no longer under way.
    pub(super) fn hear(
        &mut self,
        round: u64,
        ask: &Ask,
        answer: &Answer<'_>,
    ) -> Option<Vec<GroupVersion>> {
        let (_, reading) = self.reading.as_mut().filter(|(current, _)| *current == round)?;
        let nothing = Apis::default();
        let old = self.document.as_ref().map_or(&nothing, |document| &document.apis);
        match ask {
            Ask::Root(root) => Some(reading.root(*root, answer, old)),
            Ask::Resources(gv) => Some(reading.resources(gv, answer)),
            Ask::Ready | Ask::Version | Ask::Sign | Ask::ApiServices | Ask::OpenApi(_) => None,
        }
    }

    /// Takes the status of `/readyz`. A refusal of the fetcher says nothing of the server's health:
    /// it does not make a server gone, nor, at once, one that was gone come back.
    pub(super) fn probed(&mut self, status: u16, now_ms: u64) -> Look {
        self.ready = status == 200;
        let is_refused = matches!(status, 401 | 403 | 429);
        self.refused = if is_refused { self.refused.saturating_add(1) } else { 0 };
        match status {
            200 => self.record.ready_ms = now_ms,
            0 => self.record.problem = "/readyz: no answer".to_owned(),
            TIMED_OUT => self.record.problem = "/readyz: no answer in time".to_owned(),
            status => self.record.problem = format!("/readyz: status {status}"),
        }
        let before = self.record.standing();
        let (was, probes) = self.late.take().unwrap_or((before, 0));
        let now = match (status, was) {
            (401 | 403 | 429, Standing::Gone) if self.refused < REFUSED_PROBES => Standing::Gone,
            // A late one whose earlier standing another VM knew is read again too.
            (200 | 401 | 403 | 429, Standing::Gone | Standing::Late) => Standing::Unknown,
            (200 | 401 | 403 | 429, was) => was,
            (TIMED_OUT, Standing::Confirmed | Standing::Unknown) if probes + 1 < LATE_PROBES => {
                self.late = Some((was, probes + 1));
                // Not at its next turn: until it is known to be well, others do its work.
                self.next_probe_ms = now_ms;
                Standing::Late
            }
            _ => Standing::Gone,
        };
        if now == Standing::Gone {
            self.reading = None;
        }
        let is_no_sign = is_no_sign(status) && self.sign != Some(true);
        let is_away = matches!(now, Standing::Late | Standing::Gone);
        let was_asked = self.sign.is_some() || now == Standing::Gone;
        let is_mute = status == TIMED_OUT && was_asked;
        self.record.silent = is_away && is_no_sign && (self.record.silent || is_mute);
        self.record.set_standing(now, now_ms);
        match status {
            200 => Look::Ready,
            401 | 403 | 429 => Look::Refused,
            TIMED_OUT => Look::Late,
            _ => Look::NotReady,
        }
    }

    /// Takes the status of an answer that waits for nothing. Returns whether it changes what workers
    /// are to know.
    pub(super) fn signed(&mut self, status: u16) -> bool {
        if is_no_sign(status) {
            return false;
        }
        self.sign = self.sign.map(|_| true);
        std::mem::take(&mut self.record.silent)
    }

    pub(super) fn view(&self, standing: Standing) -> View<'_> {
        let apis = self.document.as_ref().map(|document| &document.apis);
        View { standing, apis, read_ms: self.record.read_ms }
    }

    /// What it has to say of a root; `None` if it was never read.
    pub(super) fn source(&self, root: Root, standing: Standing) -> Option<Source<'_>> {
        let document = self.document.as_ref()?;
        Some(Source { name: &self.record.name, standing, body: document.body(root) })
    }

    /// Takes a complete reading. A first document needs both
    /// roots: of a server whose core group alone was read, nothing must be taken for absent.
    pub(super) fn take(&mut self, outcomes: [Outcome; 2], now_ms: u64) -> Look {
        let has_etag = |root| self.document.as_ref().is_some_and(|it| !it.etag(root).is_empty());
        let (mut replaced, mut failed, mut problems) = (None, false, Vec::new());
        for (root, outcome) in [Root::Core, Root::Named].into_iter().zip(outcomes) {
            match outcome {
                Outcome::Unchanged if has_etag(root) => {}
                Outcome::Unchanged => {
                    failed = true;
                    problems.push(format!("{}: status 304, not asked for", root.path()));
                }
                Outcome::Failed(problem) => {
                    failed = true;
                    problems.push(problem);
                }
                Outcome::Read(readout, etag, body) => {
                    let known = || self.document.clone().unwrap_or_default();
                    let replaced = replaced.get_or_insert_with(known);
                    replaced.replace(root, readout.apis, etag, body);
                    problems.extend(readout.problems);
                }
            }
        }
        // That the probe was refused stays to be seen, also when discovery was not.
        if self.ready || !problems.is_empty() {
            self.record.problem = problems.join("; ");
        }
        let believed = self.document.is_some() || !failed;
        let changed = believed && replaced.is_some() && replaced != self.document;
        if changed {
            self.document = replaced;
        }
        if !failed {
            self.record.read_ms = now_ms;
            if self.ready {
                self.record.set_standing(Standing::Confirmed, now_ms);
            }
        }
        match (changed, failed) {
            (true, _) => Look::Read,
            (false, false) => Look::Unchanged,
            (false, true) => Look::Unreadable,
        }
    }
}

/// Envoy's own answer when there was none in time. A kube-apiserver has no reason to say it of itself.
const TIMED_OUT: u16 = 504;
/// Envoy's own answer when there was no connection, or a server's that is not ready.
const UNREACHABLE: u16 = 503;

/// Whether nothing was heard of the server: of a connection that cannot be made, Envoy says 503 by
/// itself.
fn is_no_sign(status: u16) -> bool {
    matches!(status, 0 | UNREACHABLE | TIMED_OUT)
}

/// `gitVersion` of a `/version` answer; empty when there is none.
pub(super) fn version_of(answer: &Answer<'_>) -> String {
    const MAX_CHARS: usize = 64;
    let read = || {
        serde_json::from_slice::<Json<'_>>(answer.body)
            .ok()?
            .object()
            .ok()?
            .take("gitVersion")
            .text()
            .ok()
    };
    read().unwrap_or_default().chars().filter(char::is_ascii_graphic).take(MAX_CHARS).collect()
}
