//! What came back, how often, from which server and why: single tries -> one row for each kind of
//! answer. Knows no balancer and no terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hyper::header::RETRY_AFTER;
use peerway_harness::client::Answer;

use crate::screen::Tone;

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// This status, and it is no false 404.
    Status(u16),
    /// This status with `Retry-After`: nothing was done, and clients ask again by themselves.
    TryAgain(u16),
    /// 404 for something that a server of the cluster serves.
    FalseNotFound,
    /// Discovery without it: kubectl says that there is no such resource type, and asks no further.
    Undiscovered,
    /// The connection broke, or nothing came in time.
    NoAnswer,
}

impl Outcome {
    /// Whether it denies something that is there.
    pub(crate) fn is_false(self) -> bool {
        matches!(self, Self::FalseNotFound | Self::Undiscovered)
    }

    /// Whether the request did what it was sent for.
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }

    /// How it is shown.
    pub(crate) fn tone(self) -> Tone {
        match self {
            outcome if outcome.is_success() => Tone::Good,
            outcome if outcome.is_false() => Tone::Bad,
            _ => Tone::Plain,
        }
    }
}

impl From<&Answer> for Outcome {
    /// For a request to something that is there.
    fn from(answer: &Answer) -> Self {
        match answer.status.as_u16() {
            404 => Self::FalseNotFound,
            status if answer.headers.contains_key(RETRY_AFTER) => Self::TryAgain(status),
            status => Self::Status(status),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TryAgain(status) => write!(f, "{status} try again"),
            Self::Status(status) => write!(f, "{status}"),
            Self::FalseNotFound => write!(f, "false 404"),
            Self::Undiscovered => write!(f, "no such type"),
            Self::NoAnswer => write!(f, "no answer"),
        }
    }
}

/// One request, or one run of kubectl.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    /// What the caller was told.
    pub(crate) outcome: Outcome,
    /// The name of the server that the answer came from.
    pub(crate) server: String,
    /// Why Peerway sent it there; `None` without Peerway.
    pub(crate) reason: Option<String>,
}

/// All tries with the same outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The outcome.
    pub(crate) outcome: Outcome,
    /// How often.
    pub(crate) count: usize,
    /// How often from which server.
    pub(crate) servers: BTreeMap<String, usize>,
    /// Every reason.
    pub(crate) reasons: BTreeSet<String>,
}

/// Tries by outcome: statuses first, in order, then what is false.
pub(crate) fn rows(tries: &[Try]) -> Vec<Row> {
    let mut rows: BTreeMap<Outcome, Row> = BTreeMap::new();
    for one in tries {
        let row = rows.entry(one.outcome).or_insert_with(|| Row {
            outcome: one.outcome,
            count: 0,
            servers: BTreeMap::new(),
            reasons: BTreeSet::new(),
        });
        row.count += 1;
        *row.servers.entry(one.server.clone()).or_default() += 1;
        row.reasons.extend(one.reason.clone());
    }
    rows.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_with_the_same_outcome_share_a_row() {
        let one = |outcome, server: &str, reason: Option<&str>| Try {
            outcome,
            server: server.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let rows = rows(&[
            one(Outcome::FalseNotFound, "cp-2", None),
            one(Outcome::Status(200), "cp-3", Some("listed-by-some")),
            one(Outcome::FalseNotFound, "cp-1", None),
            one(Outcome::FalseNotFound, "cp-2", None),
        ]);
        let seen: Vec<_> = rows.iter().map(|row| (row.outcome, row.count)).collect();
        assert_eq!(seen, [(Outcome::Status(200), 1), (Outcome::FalseNotFound, 3)]);
        let servers: Vec<_> = rows[1].servers.iter().collect();
        assert_eq!(servers, [(&"cp-1".to_owned(), &1), (&"cp-2".to_owned(), &2)]);
        assert_eq!(rows[0].reasons, BTreeSet::from(["listed-by-some".to_owned()]));
        assert!(rows[1].reasons.is_empty());
    }

    #[test]
    fn only_denials_are_false() {
        assert!(Outcome::FalseNotFound.is_false() && Outcome::Undiscovered.is_false());
        assert!(!Outcome::Status(503).is_false() && !Outcome::Status(503).is_success());
        assert!(Outcome::Status(201).is_success());
    }
}
