//! The servers' versions and clocks, against each other.

use super::facts::{at, told};
use super::{Answer, Asked, Facts, Findings};

/// What this version of Peerway is tried against.
const TRIED_MINORS: [u32; 4] = [33, 35, 36, 37];
/// Before it there is no aggregated discovery: each look at a server costs many requests.
const AGGREGATED_SINCE: u32 = 27;
/// Servers of one cluster may be one minor version apart (Kubernetes' version skew policy).
const MOST_APART: u32 = 1;

/// `Date` has whole seconds, and a clock may be read right before it jumps.
const UNSEEN_S: f64 = 1.5;
/// What tokens and leases are lenient by.
const TOLERABLE_S: f64 = 30.0;

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    let minors: Vec<u32> = facts
        .servers
        .iter()
        .filter_map(|server| {
            let asked = server.told_fetcher("/version")?;
            version(&server.name, asked, findings)
        })
        .collect();
    skew(&minors, findings);
    clocks(facts, findings);
}

fn version(name: &str, asked: &Asked, findings: &mut Findings) -> Option<u32> {
    const CHECK: &str = "version";
    let found = asked.as_ref().ok().filter(|answer| answer.is_good()).and_then(git_version);
    let Some((version, minor)) = found else {
        let what = format!("unknown: {}", told(asked));
        findings.skipped(CHECK, Some(name), what);
        return None;
    };
    if minor < AGGREGATED_SINCE {
        let what = format!("{version} has no aggregated discovery");
        let fix = "its new APIs are noticed only every 10 s; upgrade it";
        findings.warn(CHECK, Some(name), what, fix);
    } else if !TRIED_MINORS.contains(&minor) {
        let tried = TRIED_MINORS.map(|minor| format!("1.{minor}")).join(", ");
        let what = format!("{version}; Peerway is tried with {tried}");
        findings.warn(CHECK, Some(name), what, "try it on a copy first");
    } else {
        findings.passed(CHECK, Some(name), version);
    }
    Some(minor)
}

fn git_version(answer: &Answer) -> Option<(String, u32)> {
    let version = at(&answer.json(), &["gitVersion"]).as_str()?.to_owned();
    let minor = version.strip_prefix("v1.")?.split('.').next()?.parse().ok()?;
    Some((version, minor))
}

fn skew(minors: &[u32], findings: &mut Findings) {
    const CHECK: &str = "version-skew";
    let (Some(least), Some(most)) = (minors.iter().min(), minors.iter().max()) else {
        return findings.skipped(CHECK, None, "no server told its version");
    };
    match most - least {
        0 => findings.passed(CHECK, None, "all of one minor version"),
        1..=MOST_APART => findings.passed(CHECK, None, "one minor version apart"),
        apart => findings.warn(
            CHECK,
            None,
            format!("{apart} minor versions apart"),
            "Kubernetes supports one; Peerway routes between more, controllers may not work",
        ),
    }
}

fn clocks(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "clock";
    let mut offsets = Vec::new();
    for server in &facts.servers {
        let name = Some(server.name.as_str());
        let dated = server.fetcher.iter().filter_map(|(_, asked)| offset(asked.as_ref().ok()?));
        let Some(offset_s) = dated.min_by(|one, other| one.abs().total_cmp(&other.abs())) else {
            continue;
        };
        offsets.push(offset_s);
        let way = if offset_s > 0.0 { "ahead of" } else { "behind" };
        let what = format!("{:.0} s {way} this machine's", offset_s.abs());
        let fix = "set the clocks by NTP: tokens and certificates are judged by them";
        match offset_s.abs() {
            0.0..=UNSEEN_S => findings.passed(CHECK, name, "as this machine's"),
            UNSEEN_S..=TOLERABLE_S => findings.warn(CHECK, name, what, fix),
            _ => findings.failed(CHECK, name, what, fix),
        }
    }
    let least = offsets.iter().copied().fold(f64::INFINITY, f64::min);
    let most = offsets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most - least > TOLERABLE_S {
        findings.failed(
            CHECK,
            None,
            format!("the servers' clocks are {:.0} s apart", most - least),
            "set them by NTP: leases and tokens of one are wrong at another",
        );
    }
}

/// How far a server's clock is from this one, as far as it must be: 0 where the answer's time fits.
fn offset(answer: &Answer) -> Option<f64> {
    let (sent_s, came_s) = answer.asked_s;
    // The server wrote whole seconds somewhere in between.
    let (earliest, latest) = (sent_s - 1.0, came_s);
    let date_s = answer.date_s? as f64;
    Some(if date_s > latest { date_s - latest } else { (date_s - earliest).min(0.0) })
}

#[cfg(test)]
mod tests {
    use crate::preflight::Verdict::{self, Failed, Passed, Skipped, Warning};
    use crate::preflight::{Facts, ServerFacts};

    use super::*;

    fn server(version: &str, date_s: u64) -> ServerFacts {
        let body = format!(r#"{{"gitVersion":"{version}"}}"#).into_bytes();
        let answer = Answer {
            status: 200,
            date_s: Some(date_s),
            asked_s: (1_000.2, 1_000.4),
            body,
            ..Answer::default()
        };
        ServerFacts { fetcher: vec![("/version", Ok(answer))], ..ServerFacts::default() }
    }

    fn verdicts(servers: Vec<ServerFacts>) -> Vec<(&'static str, Verdict)> {
        let mut findings = Findings::default();
        judge(&Facts { servers, ..Facts::default() }, &mut findings);
        findings.0.iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn versions_are_told_one_by_one_and_together() {
        let found = |versions: &[&str]| {
            let mut found =
                verdicts(versions.iter().map(|version| server(version, 1_000)).collect());
            found.retain(|(check, _)| *check != "clock");
            found.into_iter().map(|(_, verdict)| verdict).collect::<Vec<_>>()
        };
        assert_eq!(found(&["v1.36.3", "v1.36.4"]), [Passed, Passed, Passed]);
        assert_eq!(found(&["v1.36.3", "v1.37.2"]), [Passed, Passed, Passed]);
        assert_eq!(found(&["v1.35.3", "v1.37.2"]), [Passed, Passed, Warning]);
        assert_eq!(found(&["v1.26.0"]), [Warning, Passed]);
        assert_eq!(found(&["v1.44.0+k3s1"]), [Warning, Passed]);
        assert_eq!(found(&["nonsense"]), [Skipped, Skipped]);
    }

    #[test]
    fn clocks_are_compared_as_finely_as_they_are_told() {
        let found = |dates: &[u64]| {
            let mut found = verdicts(dates.iter().map(|date| server("v1.36.3", *date)).collect());
            found.retain(|(check, _)| *check == "clock");
            found.into_iter().map(|(_, verdict)| verdict).collect::<Vec<_>>()
        };
        assert_eq!(found(&[1_000]), [Passed]);
        assert_eq!(found(&[999, 1_001]), [Passed, Passed]);
        assert_eq!(found(&[1_010]), [Warning]);
        assert_eq!(found(&[900]), [Failed]);
        assert_eq!(found(&[980, 1_020]), [Warning, Warning, Failed]);
    }
}
