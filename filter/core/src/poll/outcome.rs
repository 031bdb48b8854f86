//! What the metric of the fetcher counts.

/// What became of a look at a server: of its `/readyz`, or of its discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `/readyz` was good.
    Ready,
    /// `/readyz` was not answered in time.
    Late,
    /// The fetcher was not let in to `/readyz`, which says nothing of the server.
    Refused,
    /// `/readyz` was not good, or the server could not be reached.
    NotReady,
    /// A document was read that says something new.
    Read,
    /// The documents are those that were known.
    Unchanged,
    /// A document could not be read.
    Unreadable,
}

impl Outcome {
    /// Every outcome, in reading order.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Late,
        Self::Refused,
        Self::NotReady,
        Self::Read,
        Self::Unchanged,
        Self::Unreadable,
    ];

    /// Its name in the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::NotReady => "not-ready",
            Self::Read => "read",
            Self::Unchanged => "unchanged",
            Self::Unreadable => "unreadable",
        }
    }
}
