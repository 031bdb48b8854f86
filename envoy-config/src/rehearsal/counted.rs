//! Which audit events are the one by which a request counts. A kube-apiserver writes up to three for
//! a request, under one audit ID: `RequestReceived`, `ResponseStarted` (of long ones: a watch, an
//! exec; and alone, for a caller whom it does not know) and `ResponseComplete` or `Panic`.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A request may be told again only so many requests later, by another server's log for example,
/// before it is taken for another one. Two generations of as many hashes are 40 MB.
const RECENT: usize = 1 << 20;
/// Most requests that are remembered as begun; servers have a few thousand open watches.
const MAX_OPEN: usize = 1 << 20;

/// The audit IDs that were counted lately, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Begun, not ended: however long a watch lasts, its end is no second request.
    open: HashSet<u64>,
    recent: HashSet<u64>,
    before: HashSet<u64>,
}

impl Counted {
    /// Whether an event of this stage is the one by which its request counts.
    pub(super) fn is_first(&mut self, audit_id: &str, stage: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        audit_id.hash(&mut hasher);
        let id = hasher.finish();
        match stage {
            "ResponseStarted" => {
                let new = self.remember(id);
                if new && self.open.len() < MAX_OPEN {
                    self.open.insert(id);
                }
                new
            }
            "ResponseComplete" | "Panic" => !self.open.remove(&id) && self.remember(id),
            _ => false,
        }
    }

    fn remember(&mut self, id: u64) -> bool {
        if self.recent.len() >= RECENT {
            self.before = std::mem::take(&mut self.recent);
        }
        !self.before.contains(&id) && !self.open.contains(&id) && self.recent.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_whatever_stages_the_policy_leaves() {
        let count = |events: &[(&str, &str)]| {
            let mut counted = Counted::default();
            events.iter().filter(|(id, stage)| counted.is_first(id, stage)).count()
        };
        assert_eq!(count(&[("a", "RequestReceived"), ("a", "ResponseComplete")]), 1);
        assert_eq!(
            count(&[
                ("w", "RequestReceived"),
                ("w", "ResponseStarted"),
                ("a", "ResponseComplete"),
                ("w", "ResponseComplete")
            ]),
            2
        );
        assert_eq!(count(&[("unauthenticated", "ResponseStarted")]), 1);
        assert_eq!(count(&[("p", "Panic")]), 1);
        assert_eq!(count(&[("twice", "ResponseComplete"), ("twice", "ResponseComplete")]), 1);
        assert_eq!(count(&[("a", "RequestReceived")]), 0);
    }

    #[test]
    fn a_watch_that_outlasts_a_million_requests_is_still_one() {
        let mut counted = Counted::default();
        assert!(counted.is_first("watch", "ResponseStarted"));
        for at in 0..2 * RECENT + 1 {
            assert!(counted.is_first(&at.to_string(), "ResponseComplete"));
        }
        assert!(!counted.is_first("watch", "ResponseComplete"));
        assert!(counted.recent.len() + counted.before.len() <= 2 * RECENT);
    }
}
