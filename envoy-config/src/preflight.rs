//! What was seen of a control plane's real servers -> whether Peerway may be put in front of them.
//!
//! ```text
//! servers' answers ── command/preflight/ ──▶ Facts ── one file for each kind of check ──▶ Report
//! ```
//!
//! A check says of a server (or of the whole) that it passed, that it failed and what to do, that it
//! is to be known, or that it was not tried and why. Knows no network, no files and no clock.

mod access;
mod certificates;
mod client_ca;
mod facts;
mod front_proxy;
mod past;
mod transport;
mod versions;
mod words;

use serde::Serialize;

pub use certificates::Certificate;
pub use facts::{
    Answer, Asked, CREDENTIAL_ID, Encoding, Facts, FrontProxy, Own, OwnFile, PROBE_GROUPS,
    PROBE_UID, PROBE_USER, Past, ServerFacts, UNKNOWN_GROUP, UNKNOWN_VERSION, Validity, Wire,
};

/// How a check came out, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What must hold does.
    Passed,
    /// Could not be tried, or there is nothing to try.
    Skipped,
    /// Peerway works, and there is something that its owner should know.
    Warning,
    /// Must be mended before Peerway is put in front.
    Failed,
}

/// One check of one server, or of the whole control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, which does not change.
    pub check: &'static str,
    /// The server's configured name; none for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How it came out.
    pub verdict: Verdict,
    /// What was seen.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether no check failed.
    pub fit: bool,
    /// How many findings passed.
    pub passed: usize,
    /// How many are to be known.
    pub warnings: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were not tried.
    pub skipped: usize,
    /// All of them, check by check, each with the servers in configured order.
    pub findings: Vec<Finding>,
}

/// Judges everything that was seen.
pub fn judge(facts: &Facts) -> Report {
    let mut findings = Findings::default();
    transport::judge(facts, &mut findings);
    certificates::judge(facts, &mut findings);
    versions::judge(facts, &mut findings);
    access::judge(facts, &mut findings);
    front_proxy::judge(facts, &mut findings);
    client_ca::judge(facts, &mut findings);
    words::judge(facts, &mut findings);
    past::judge(facts, &mut findings);
    let findings = findings.0;
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let failed = count(Verdict::Failed);
    Report {
        fit: failed == 0,
        passed: count(Verdict::Passed),
        warnings: count(Verdict::Warning),
        failed,
        skipped: count(Verdict::Skipped),
        findings,
    }
}

/// What the checks add to.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        check: &'static str,
        server: Option<&str>,
        verdict: Verdict,
        (what, fix): (String, Option<String>),
    ) {
        let server = server.map(str::to_owned);
        self.0.push(Finding { check, server, verdict, what, fix });
    }

    fn passed(&mut self, check: &'static str, server: Option<&str>, what: impl Into<String>) {
        self.add(check, server, Verdict::Passed, (what.into(), None));
    }

    fn skipped(&mut self, check: &'static str, server: Option<&str>, why: impl Into<String>) {
        self.add(check, server, Verdict::Skipped, (why.into(), None));
    }

    fn warn(
        &mut self,
        check: &'static str,
        server: Option<&str>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(check, server, Verdict::Warning, (what.into(), Some(fix.into())));
    }

    fn failed(
        &mut self,
        check: &'static str,
        server: Option<&str>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(check, server, Verdict::Failed, (what.into(), Some(fix.into())));
    }
}
