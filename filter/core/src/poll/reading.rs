//! One reading of a server's discovery: both roots, in whatever form the server has them.
//!
//! Answers come in any order. An aggregated or unchanged root is done with one answer; a plain one
//! names group-versions, and each of those is asked for before the root is done. Whatever fails, the
//! reading ends, and says which root it could not read.

use bytes::Bytes;

use crate::apis::Apis;
use crate::discovery::{
    self, DiscoveryError, Form, GroupVersion, MAX_PROBLEMS, Reading as Readout, Root,
};

/// What a host saw of a server's answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// HTTP status; 0 when there was no answer.
    pub status: u16,
    /// `content-type`, empty if there is none.
    pub content_type: &'a [u8],
    /// `etag`, empty if there is none.
    pub etag: &'a [u8],
    /// The body, empty when it is longer than [`discovery::MAX_DOCUMENT_BYTES`].
    pub body: &'a [u8],
    /// The body's true length.
    pub body_bytes: usize,
}

impl<'a> Answer<'a> {
    /// The body of a good answer, if all of it is there.
    pub(super) fn whole(&self) -> Option<&'a [u8]> {
        let is_whole = self.status == 200 && self.body.len() == self.body_bytes;
        is_whole.then_some(self.body)
    }
}

/// A reading under way.
#[derive(Debug)]
pub(super) struct Reading {
    roots: [Progress; 2],
}

/// How far one root is.
#[derive(Debug)]
enum Progress {
    Asked,
    Plain { waiting: Vec<GroupVersion>, in_flight: usize, readout: Readout },
    Done(Outcome),
}

/// What became of one root.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The document is the one that was known.
    Unchanged,
    /// A new one, with the ETag to ask with next time (empty: none), and its bytes where all of it
    /// could be read.
    Read(Readout, String, Option<Bytes>),
    /// Not readable; why.
    Failed(String),
}

/// How many group-versions of a plain server are asked for at once.
const PLAIN_IN_FLIGHT: usize = 4;

impl Reading {
    pub(super) fn new() -> Self {
        Self { roots: [Progress::Asked, Progress::Asked] }
    }

    /// Takes the answer to a root. Returns the group-versions to ask for next.
    pub(super) fn root(
        &mut self,
        root: Root,
        answer: &Answer<'_>,
        old: &Apis,
    ) -> Vec<GroupVersion> {
        let (progress, asks) = match read_root(root, answer, old) {
            Ok(progress @ Progress::Plain { .. }) => start(progress),
            Ok(progress) => (progress, Vec::new()),
            Err(problem) => (Progress::Done(Outcome::Failed(problem)), Vec::new()),
        };
        *self.of(root) = progress;
        asks
    }

    /// Takes the answer to a group-version of a plain server. Returns what to ask for next.
    pub(super) fn resources(
        &mut self,
        gv: &GroupVersion,
        answer: &Answer<'_>,
    ) -> Vec<GroupVersion> {
        let progress = self.of(root_of(gv));
        let Progress::Plain { waiting, in_flight, readout } = progress else {
            return Vec::new();
        };
        *in_flight = in_flight.saturating_sub(1);
        if let Err(problem) = read_resources(gv, answer, readout) {
            *progress = Progress::Done(Outcome::Failed(problem));
            return Vec::new();
        }
        let next: Vec<_> = waiting.pop().into_iter().collect();
        *in_flight += next.len();
        if *in_flight == 0 {
            let readout = std::mem::take(readout);
            *progress = Progress::Done(match readout.apis.is_empty() {
                true => Outcome::Failed(DiscoveryError::Empty.to_string()),
                false => Outcome::Read(readout, String::new(), Some(Bytes::new())),
            });
        }
        next
    }

    /// Both outcomes, core first, once both roots are done. They are taken out.
    pub(super) fn finished(&mut self) -> Option<[Outcome; 2]> {
        if !self.roots.iter().all(|root| matches!(root, Progress::Done(_))) {
            return None;
        }
        match std::mem::replace(&mut self.roots, [Progress::Asked, Progress::Asked]) {
            [Progress::Done(core), Progress::Done(named)] => Some([core, named]),
            _ => None,
        }
    }

    fn of(&mut self, root: Root) -> &mut Progress {
        let [core, named] = &mut self.roots;
        match root {
            Root::Core => core,
            Root::Named => named,
        }
    }
}

fn root_of(gv: &GroupVersion) -> Root {
    if gv.group.is_empty() { Root::Core } else { Root::Named }
}

fn read_root(root: Root, answer: &Answer<'_>, old: &Apis) -> Result<Progress, String> {
    let named = |problem: &dyn std::fmt::Display| format!("{}: {problem}", root.path());
    match answer.status {
        304 => return Ok(Progress::Done(Outcome::Unchanged)),
        200 => within_bounds(answer).map_err(|error| named(&error))?,
        0 => return Err(named(&"no answer")),
        status => return Err(named(&format!("status {status}"))),
    }
    let progress = match Form::of(answer.content_type).map_err(|error| named(&error))? {
        Form::Aggregated => {
            let readout = discovery::read_aggregated(root, answer.body, old);
            let readout = readout.map_err(|error| named(&error))?;
            let etag = std::str::from_utf8(answer.etag).unwrap_or_default().to_owned();
            let body = readout.problems.is_empty().then(|| Bytes::copy_from_slice(answer.body));
            Progress::Done(Outcome::Read(readout, etag, body))
        }
        Form::Plain => Progress::Plain {
            waiting: discovery::read_group_versions(root, answer.body)
                .map_err(|error| named(&error))?,
            in_flight: 0,
            readout: Readout::default(),
        },
    };
    Ok(progress)
}

/// A plain list names group-versions that this server may not serve (404), and aggregated ones whose
/// backend may be down (503): neither says anything against the rest.
fn read_resources(
    gv: &GroupVersion,
    answer: &Answer<'_>,
    readout: &mut Readout,
) -> Result<(), String> {
    let named = |problem: &dyn std::fmt::Display| format!("{}: {problem}", gv.path());
    match answer.status {
        200 => within_bounds(answer)
            .and_then(|()| discovery::read_resources(gv, answer.body, readout))
            .map_err(|error| named(&error)),
        404 => Ok(()),
        503 if readout.problems.len() < MAX_PROBLEMS => {
            readout.problems.push(named(&"status 503"));
            Ok(())
        }
        503 => Ok(()),
        0 => Err(named(&"no answer")),
        status => Err(named(&format!("status {status}"))),
    }
}

fn within_bounds(answer: &Answer<'_>) -> Result<(), DiscoveryError> {
    match answer.body_bytes {
        bytes if bytes > discovery::MAX_DOCUMENT_BYTES => Err(DiscoveryError::TooLarge { bytes }),
        _ => Ok(()),
    }
}

fn start(mut progress: Progress) -> (Progress, Vec<GroupVersion>) {
    let mut asks = Vec::new();
    if let Progress::Plain { waiting, in_flight, .. } = &mut progress {
        asks = waiting.split_off(waiting.len().saturating_sub(PLAIN_IN_FLIGHT));
        *in_flight = asks.len();
    }
    (progress, asks)
}
