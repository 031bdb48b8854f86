//! One server as the fetcher follows it: what is known of it, and what is under way.

use super::Ask;
use super::reading::{Answer, Outcome, Reading};
use crate::apis::Apis;
use crate::discovery::{GroupVersion, Root};
use crate::record::{Document, ServerRecord};
use crate::serving_map::{Standing, View};

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) record: ServerRecord,
    pub(super) document: Option<Document>,
    /// Whether the last `/readyz` was good; a refused one says nothing.
    pub(super) ready: bool,
    pub(super) probing: bool,
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
            Ask::Ready | Ask::Version => None,
        }
    }

    pub(super) fn view(&self, standing: Standing) -> View<'_> {
        let apis = self.document.as_ref().map(|document| &document.apis);
        View { standing, apis, read_ms: self.record.read_ms }
    }

    /// Takes a complete reading. Returns whether the document changed. A first document needs both
    /// roots: of a server whose core group alone was read, nothing must be taken for absent.
    pub(super) fn take(&mut self, outcomes: [Outcome; 2], now_ms: u64) -> bool {
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
                Outcome::Read(readout, etag) => {
                    let known = || self.document.clone().unwrap_or_default();
                    replaced.get_or_insert_with(known).replace(root, readout.apis, etag);
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
                self.record.set_standing(Standing::Confirmed);
            }
        }
        changed
    }
}

/// `gitVersion` of a `/version` answer; empty when there is none.
pub(super) fn version_of(answer: &Answer<'_>) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }
    const MAX_CHARS: usize = 64;
    let version = serde_json::from_slice(answer.body).map(|Version { git_version }| git_version);
    version.unwrap_or_default().chars().filter(char::is_ascii_graphic).take(MAX_CHARS).collect()
}
