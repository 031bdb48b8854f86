//! What Peerway promises, held against what was seen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::play::{PATIENCE, UNREACHABLE_AFTER};
use super::record::{Class, Condition, Kind, Mark, Seen};
use super::scenario::Manner;
use super::stage::Outcome;

impl Outcome {
    /// Each promise that was not kept, with how often and the first time. Empty when all were.
    pub fn broken_promises(&self, manner: Manner) -> Vec<String> {
        let mut first: BTreeMap<String, (usize, &Seen)> = BTreeMap::new();
        for seen in &self.seen {
            if let Some(promise) = self.broken_by(seen, manner) {
                first.entry(promise.to_owned()).or_insert((0, seen)).0 += 1;
            }
        }
        let mut broken: Vec<String> = first
            .into_iter()
            .map(|(promise, (count, seen))| format!("{promise}: {count} times, first {seen}"))
            .collect();
        broken.extend(self.damage.lines());
        if let Some(astray @ 1..) = self.sent_astray {
            broken.push(format!("{astray} requests were sent to a server that was unreachable"));
        }
        if let Some(late) = self.healed_after.filter(|after| *after > HEALED_WITHIN * PATIENCE) {
            broken.push(format!("an API was back only {late:?} after its server"));
        }
        broken
    }

    /// Whether a server may have had it that was silent, and not known to be.
    fn is_hidden(&self, seen: &Seen) -> bool {
        let away = |mark: &&Mark| matches!(mark.server, Some((_, Condition::Away(_))));
        let mut silences = self.marks.iter().filter(away);
        silences.any(|mark| is_within(seen, mark, UNREACHABLE_AFTER))
    }

    /// Whether the answer was on its way when something was done to a server, and broke off: what a
    /// client has had the beginning of cannot be asked of another server.
    fn is_cut_short(&self, seen: &Seen) -> bool {
        let mut cuts = self.marks.iter().filter(|mark| mark.server.is_some());
        let says = |words: &str| seen.words.contains(words);
        // kubectl would say 502 or 503 of a request without an answer.
        let is_kubectls =
            seen.client == "kubectl" && (says("unexpected EOF") || says("stream error"));
        (says("the body broke off") || is_kubectls)
            && cuts.any(|mark| is_within(seen, mark, CARRIED_OUT))
    }

    /// The promise that an answer breaks.
    fn broken_by(&self, seen: &Seen, manner: Manner) -> Option<&'static str> {
        if manner == Manner::Outage && seen.kind != Kind::FalseNotFound {
            return None;
        }
        let may_come_back = match (seen.class, manner) {
            (_, Manner::Stumble | Manner::Outage) => true,
            // Its only server may be gone, or be the one that is being replaced.
            (Class::New, Manner::Abrupt) => true,
            (Class::New, Manner::Graceful) => !seen.settled,
            // Until it is noticed, a server that is gone may be the one that has it; one that starts
            // asks for patience itself.
            (Class::Absent, _) => true,
            (Class::Everywhere, _) => false,
        };
        // What was in hand may be lost.
        let loses = matches!(manner, Manner::Abrupt | Manner::Stumble);
        match seen.kind {
            Kind::Done | Kind::Unsettled => None,
            Kind::FalseNotFound => Some("no false 404"),
            Kind::Wrong if loses && is_lost_review(&seen.words) => None,
            Kind::Wrong => Some("no answer but a server's, 502 or 503 with Retry-After"),
            // kube-rs obeys each `Retry-After`, for longer than the load waits.
            Kind::Silent if may_come_back && seen.client == "kube-rs" => None,
            Kind::Silent => Some("no request hangs"),
            Kind::ComeBack if !may_come_back => Some("what can be served is served"),
            // In flight to a frozen server it ends with the keepalive's time.
            Kind::ComeBack if self.is_hidden(seen) => None,
            Kind::ComeBack if seen.took > TOLD_WITHIN * PATIENCE && seen.client == "probe" => {
                Some("what cannot be served is answered 503 at once")
            }
            Kind::ComeBack => None,
            Kind::MayHaveRun | Kind::Broken if manner == Manner::Graceful => {
                Some("no request fails while servers end in order")
            }
            Kind::MayHaveRun | Kind::Broken if manner == Manner::Stumble => None,
            Kind::Broken if self.is_cut_short(seen) => None,
            Kind::MayHaveRun | Kind::Broken if !seen.writes => Some("no read fails"),
            Kind::MayHaveRun | Kind::Broken => None,
        }
    }

    /// How many answers of a kind, to requests for a class.
    pub fn count(&self, class: Class, kind: Kind) -> usize {
        self.seen.iter().filter(|seen| seen.class == class && seen.kind == kind).count()
    }
}

/// Whether it was on its way at a mark, or began no later than so long after it.
fn is_within(seen: &Seen, mark: &Mark, after: Duration) -> bool {
    mark.at < seen.at + seen.took && seen.at < mark.at + after
}

/// Whether it is the 500 of the aggregated API server whose own question, whether the caller may, was
/// in flight: a POST, answered 502, which it passes on in these words.
fn is_lost_review(words: &str) -> bool {
    words.starts_with("500 Internal Server Error: \"/apis/wardle.example.com/")
        && words.contains("lost the kube-apiserver before it answered; it may have executed this")
}

/// What is noted is done at once; a process takes a moment to die.
const CARRIED_OUT: Duration = Duration::from_millis(500);
/// The poll interval, and half a second.
const HEALED_WITHIN: Duration = Duration::from_millis(1_500);
const TOLD_WITHIN: Duration = Duration::from_secs(1);

impl fmt::Display for Outcome {
    /// A line for each class, and one for everything else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for class in Class::ALL {
            let counts = Kind::ALL.map(|kind| (kind, self.count(class, kind)));
            let counts = counts.iter().filter(|(_, count)| *count > 0);
            let counts: Vec<_> = counts.map(|(kind, count)| format!("{count} × {kind}")).collect();
            writeln!(f, "  {class}: {}", counts.join(", "))?;
        }
        write!(f, "  damage {}, relists {}", self.damage.count(), self.relists)?;
        write!(f, ", healed after {:?}", self.healed_after)?;
        write!(f, ", sent astray {:?}, watch errors {:?}", self.sent_astray, self.watch_errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_may_break_off_while_something_is_done_to_a_server_and_not_otherwise() {
        let promises = |at: u64, words: &str, manner| {
            let mut seen =
                Seen::new("http1", "GET /".to_owned(), Class::Everywhere, false, Kind::Broken);
            (seen.at, seen.took) = (Duration::from_millis(at), Duration::from_millis(20));
            seen.words = words.to_owned();
            let server = Some(("a".to_owned(), Condition::Away("killed")));
            let mark = Mark { at: Duration::from_secs(2), text: String::new(), server };
            let (seen, marks) = (vec![seen], vec![mark]);
            Outcome { seen, marks, ..Outcome::default() }.broken_promises(manner).len()
        };
        let broke_off = "GET / at 127.0.0.1:1: the body broke off: stream error";
        for at in [1_990, 2_400] {
            assert_eq!(promises(at, broke_off, Manner::Abrupt), 0, "{at}");
            assert_eq!(promises(at, "GET / at 127.0.0.1:1: reset", Manner::Abrupt), 1, "{at}");
            assert_eq!(promises(at, broke_off, Manner::Graceful), 1, "{at}");
        }
        for at in [1_000, 3_000] {
            assert_eq!(promises(at, broke_off, Manner::Abrupt), 1, "{at}");
        }
    }

    #[test]
    fn only_an_aggregated_servers_own_lost_question_is_let_pass() {
        let lost = "lost the kube-apiserver before it answered; it may have executed this (reset)";
        let own = "500 Internal Server Error: \"/apis/wardle.example.com/v1alpha1/flunders\"";
        assert!(is_lost_review(&format!("{own}: {lost}")));
        assert!(!is_lost_review(&format!("{own}: no such thing")));
        for said in ["500 Internal Server Error: \"/api/v1/pods\": ", "500 ", "502 "] {
            assert!(!is_lost_review(&format!("{said}{lost}")), "{said}");
        }
    }
}
