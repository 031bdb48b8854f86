//! What servers are asked, and how.

use super::{Effect, Poller};
use crate::discovery::{self, API_SERVICES, GroupVersion, Root};
use crate::openapi::Question;

/// A question to one server. The host gives it back with the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which server, by its place in the configuration.
    pub server: usize,
    /// What is asked.
    pub ask: Ask,
    /// Answers to questions of an earlier round are dropped: the server may be another one by now.
    pub(super) round: u64,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// `/readyz`.
    Ready,
    /// `/version`, only to be shown.
    Version,
    /// `/version` too, as a sign of life.
    Sign,
    /// A discovery root.
    Root(Root),
    /// The resources of one group-version, from a server that has only plain discovery.
    Resources(GroupVersion),
    /// Which group-versions another API server answers for, after discovery has changed. A fetcher
    /// that may not know is refused, and takes all for built-in.
    ApiServices,
    /// An OpenAPI index or document, while no server has everything.
    OpenApi(String),
}

impl Poller {
    pub(super) fn ask_openapi(&self, questions: Vec<Question>, effects: &mut Vec<Effect>) {
        for Question { server, path } in questions {
            self.ask(server, Ask::OpenApi(path), effects);
        }
    }

    pub(super) fn ask(&self, at: usize, ask: Ask, effects: &mut Vec<Effect>) {
        let server = self.servers.get(at);
        let document = server.and_then(|server| server.document.as_ref());
        let round = server.and_then(|server| Some(server.reading.as_ref()?.0)).unwrap_or_default();
        let etag = match ask {
            Ask::Root(root) => document.map(|document| document.etag(root)),
            _ => None,
        };
        let (accept, timeout_ms) = match ask {
            Ask::Ready => ("*/*", self.config.probe_timeout_ms),
            Ask::Sign => ("*/*", self.config.probe_timeout_ms / 2),
            Ask::Root(_) => (discovery::ACCEPT, self.config.discovery_timeout_ms),
            Ask::Version | Ask::Resources(_) | Ask::ApiServices | Ask::OpenApi(_) => {
                ("application/json", self.config.discovery_timeout_ms)
            }
        };
        let path = match &ask {
            Ask::Ready => "/readyz".to_owned(),
            Ask::Version | Ask::Sign => "/version".to_owned(),
            Ask::Root(root) => root.path().to_owned(),
            Ask::Resources(gv) => gv.path(),
            Ask::ApiServices => API_SERVICES.to_owned(),
            Ask::OpenApi(path) => path.clone(),
        };
        let if_none_match = etag.filter(|etag| !etag.is_empty()).map(str::to_owned);
        let call = Call { server: at, ask, round };
        effects.push(Effect::Ask { call, path, accept, if_none_match, timeout_ms });
    }
}
