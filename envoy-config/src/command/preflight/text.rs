//! A preflight's report for people: what failed first, servers of whom the same holds together, and what to
//! do about it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use envoy_config::preflight::{Finding, Report, Verdict};

use crate::command::output::{columns, heading, shown};

pub(super) fn of(report: &Report) -> String {
    let Report { passed, warnings, failed, skipped, .. } = report;
    let fit = heading(if report.fit { "Fit" } else { "Not fit" });
    let mut text = format!(
        "{fit}: {failed} failed, {warnings} to note, {passed} passed, {skipped} skipped.\n\n"
    );
    let groups = grouped(&report.findings);
    let mut rows = vec![["", "CHECK", "SERVERS", "FOUND"].map(String::from).to_vec()];
    rows.extend(groups.iter().map(|group| {
        let of = group.finding;
        vec![word(of.verdict).to_owned(), of.check.to_owned(), group.servers(), shown(&of.what)]
    }));
    text.push_str(&columns(&rows));
    let mut todo = groups.iter().filter(|group| group.finding.fix.is_some()).peekable();
    if todo.peek().is_some() {
        let _ = writeln!(text, "\n{}", heading("To do"));
    }
    for group in todo {
        let Finding { check, fix, .. } = group.finding;
        let servers = group.servers();
        let fix = fix.as_deref().unwrap_or_default();
        let _ = writeln!(text, "  {check} ({servers}): {}", shown(fix));
    }
    text
}

/// Failures are loud, also without color.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Skipped => "skipped",
        Verdict::Warning => "note",
        Verdict::Failed => "FAILED",
    }
}

/// Findings that differ only in their servers.
struct Group<'a> {
    finding: &'a Finding,
    names: Vec<&'a str>,
    /// Whether it holds for every server that the check was made of, and there are several.
    is_all: bool,
}

impl Group<'_> {
    fn servers(&self) -> String {
        match (self.is_all, self.names.as_slice()) {
            (true, _) => "all".to_owned(),
            (false, []) => "-".to_owned(),
            (false, names) => shown(&names.join(",")),
        }
    }
}

/// In the order of the checks, within each the worst first.
fn grouped(findings: &[Finding]) -> Vec<Group<'_>> {
    let known: BTreeSet<_> = findings.iter().filter_map(|it| it.server.as_deref()).collect();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for finding in findings {
        let same = |group: &&mut Group<'_>| {
            let of = group.finding;
            (of.check, of.verdict, &of.what) == (finding.check, finding.verdict, &finding.what)
        };
        let name = finding.server.as_deref();
        match groups.iter_mut().find(same) {
            Some(group) => group.names.extend(name),
            None => {
                groups.push(Group { finding, names: name.into_iter().collect(), is_all: false });
            }
        }
    }
    for group in &mut groups {
        group.is_all = known.len() > 1 && group.names.len() == known.len();
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.finding.verdict));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_of_several_servers_is_said_once_and_failures_first() {
        let finding = |check, server: &str, verdict, what: &str, fix: Option<&str>| Finding {
            check,
            server: Some(server.to_owned()),
            verdict,
            what: what.to_owned(),
            fix: fix.map(str::to_owned),
        };
        let findings = vec![
            finding("reachable", "a", Verdict::Passed, "answers", None),
            finding("reachable", "b", Verdict::Passed, "answers", None),
            finding("uid-header", "a", Verdict::Failed, "is not read\u{1b}", Some("set it")),
            finding("uid-header", "b", Verdict::Passed, "is read", None),
        ];
        let report = Report { fit: false, passed: 3, warnings: 0, failed: 1, skipped: 0, findings };
        assert_eq!(
            of(&report),
            "Not fit: 1 failed, 0 to note, 3 passed, 0 skipped.\n\n\
             \u{20}       CHECK       SERVERS  FOUND\n\
             FAILED  uid-header  a        is not read\u{fffd}\n\
             passed  reachable   all      answers\n\
             passed  uid-header  b        is read\n\
             \nTo do\n  uid-header (a): set it\n"
        );
    }
}
