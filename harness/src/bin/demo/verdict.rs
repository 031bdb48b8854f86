//! Everything that was seen -> the last paragraph, and whether what Peerway promises held.

use crate::damage::NAMESPACES;
use crate::outcome::Outcome;
use crate::stage::Way;
use crate::table::Comparison;
use crate::upgrade::{Answers, Traces};

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The same requests through both balancers.
    pub(crate) comparisons: Vec<Comparison>,
    /// Objects that outlived their namespaces, deleted through the plain balancer.
    pub(crate) left_by_plain: Vec<String>,
    /// The same through Peerway.
    pub(crate) left_by_peerway: Vec<String>,
    /// What Peerway's clients got while servers were upgraded.
    pub(crate) upgrade: Answers,
    /// What Peerway did with equal servers.
    pub(crate) traces: Traces,
}

impl Findings {
    /// What went against the promise, each as a clause; nothing when it held.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        let [plain, peerway] = Way::BOTH.map(|way| self.denied(way));
        check(plain > 0, "the plain balancer gave no false 404 to compare with".to_owned());
        check(peerway == 0, format!("Peerway let {peerway} false 404s through"));
        let left = self.left_by_peerway.len();
        check(left == 0, format!("{left} objects outlived their namespaces through Peerway"));
        let denied = self.upgrade.count(Outcome::FalseNotFound);
        check(denied == 0, format!("{denied} false 404s during the upgrade"));
        let Traces { sent, touched, counted, .. } = self.traces;
        check(
            self.traces.is_invisible(),
            format!(
                "of {sent} requests to equal servers Peerway touched {touched}, counted {counted}"
            ),
        );
        problems
    }

    /// The last paragraphs.
    pub(crate) fn paragraphs(&self) -> Vec<String> {
        let [plain, peerway] = Way::BOTH.map(|way| (self.denied(way), self.tried(way)));
        let mut paragraphs = vec![
            format!(
                "Plain round robin: {} of {} requests were told that something is not there that \
                 is, and {} of {NAMESPACES} deleted namespaces left an object behind, for ever.",
                plain.0,
                plain.1,
                self.left_by_plain.len()
            ),
            format!(
                "Peerway, in front of the same servers: {} of {}, and {} of {NAMESPACES}. {}",
                peerway.0,
                peerway.1,
                self.left_by_peerway.len(),
                self.after()
            ),
        ];
        let problems = self.problems();
        if !problems.is_empty() {
            paragraphs
                .push(format!("What Peerway promises did NOT hold: {}.", problems.join("; ")));
        }
        paragraphs
    }

    fn after(&self) -> String {
        let (total, done) = (self.upgrade.total(), self.upgrade.successes());
        let denied = self.upgrade.count(Outcome::FalseNotFound);
        let Traces { sent, touched, counted, .. } = self.traces;
        format!(
            "During the upgrade, {done} of {total} requests did what they were sent for, with \
             {denied} false 404s. After it, of {sent} requests Peerway touched {touched} and \
             counted {counted}."
        )
    }

    fn denied(&self, way: Way) -> usize {
        let tries = self.comparisons.iter().flat_map(|comparison| comparison.tries(way));
        tries.filter(|one| one.outcome.is_false()).count()
    }

    fn tried(&self, way: Way) -> usize {
        self.comparisons.iter().map(|comparison| comparison.tries(way).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Try;

    fn tries(outcomes: &[Outcome]) -> Vec<Try> {
        let one = |&outcome: &Outcome| Try { outcome, server: "cp-1".to_owned(), reason: None };
        outcomes.iter().map(one).collect()
    }

    fn as_promised() -> Findings {
        Findings {
            comparisons: vec![Comparison {
                request: String::new(),
                kind: "",
                plain: tries(&[
                    Outcome::FalseNotFound,
                    Outcome::Undiscovered,
                    Outcome::Status(200),
                ]),
                peerway: tries(&[Outcome::Status(200); 3]),
            }],
            left_by_plain: vec!["a/b".to_owned()],
            left_by_peerway: Vec::new(),
            upgrade: Answers {
                counts: [(Outcome::Status(200), 9), (Outcome::TryAgain(503), 1)].into(),
                ..Answers::default()
            },
            traces: Traces { sent: 5, ..Traces::default() },
        }
    }

    #[test]
    fn what_was_seen_is_told_in_numbers() {
        let findings = as_promised();
        assert_eq!(findings.problems(), [""; 0]);
        let text = findings.paragraphs().join("\n");
        for words in [
            "2 of 3 requests were told",
            "1 of 4 deleted namespaces",
            "Peerway, in front of the same servers: 0 of 3, and 0 of 4.",
            "9 of 10 requests did what they were sent for, with 0 false 404s",
            "of 5 requests Peerway touched 0 and counted 0",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
        assert!(!text.contains("NOT"), "{text}");
    }

    #[test]
    fn each_broken_promise_is_a_problem() {
        type Break = fn(&mut Findings);
        let broken: [(Break, &str); 6] = [
            (|f| f.comparisons[0].plain.clear(), "no false 404 to compare with"),
            (|f| f.comparisons[0].peerway = tries(&[Outcome::FalseNotFound]), "let 1 false 404s"),
            (|f| f.left_by_peerway.push("a/b".to_owned()), "1 objects outlived"),
            (|f| _ = f.upgrade.counts.insert(Outcome::FalseNotFound, 2), "2 false 404s during"),
            (|f| f.traces.touched = 3, "touched 3"),
            (|f| f.traces.sent = 0, "of 0 requests"),
        ];
        for (break_it, words) in broken {
            let mut findings = as_promised();
            break_it(&mut findings);
            let problems = findings.problems();
            assert!(problems.len() == 1 && problems[0].contains(words), "{words}: {problems:?}");
            assert!(findings.paragraphs().join("\n").contains("did NOT hold"));
        }
    }
}
