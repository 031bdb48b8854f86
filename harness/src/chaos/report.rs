//! Outcomes -> a folder for people: a table, a picture and the reasons for each scenario, and every
//! single answer.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::record::{Class, Kind, Seen};
use super::scenario::Scenario;
use super::stage::{Outcome, Way};
use super::timeline;

/// Scenarios, each with what was seen through each balancer, in the order in which they were played.
pub type Played = Vec<(&'static Scenario, Vec<(Way, Outcome)>)>;

/// Writes `report.md`, a picture of each scenario and a table of all answers into `folder`.
pub fn write(folder: &Path, played: &Played, time: Duration) -> Result<()> {
    std::fs::create_dir_all(folder).context("cannot make the report's folder")?;
    for (scenario, outcomes) in played {
        timeline::draw(&folder.join(format!("{}.svg", scenario.name)), scenario, outcomes)?;
        for (way, outcome) in outcomes {
            let name = format!("{}-{}.csv", scenario.name, way.slug());
            std::fs::write(folder.join(name), answers(&outcome.seen)).context("the answers")?;
        }
    }
    std::fs::write(folder.join("report.md"), text(played, time)?).context("the report")
}

fn text(played: &Played, time: Duration) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "# What clients saw\n\n{INTRODUCTION}\n")?;
    writeln!(text, "Each scenario with {} s of load.\n", time.as_secs())?;
    writeln!(text, "{HEADER}")?;
    for (scenario, outcomes) in played {
        for (way, outcome) in outcomes {
            writeln!(text, "| {} | {way} | {} |", scenario.title, row(outcome).join(" | "))?;
        }
    }
    for (scenario, outcomes) in played {
        writeln!(text, "\n## {}\n\n![{}]({}.svg)", scenario.title, scenario.name, scenario.name)?;
        for (way, outcome) in outcomes {
            section(&mut text, scenario, *way, outcome)?;
        }
    }
    Ok(text)
}

fn row(outcome: &Outcome) -> Vec<String> {
    let count = |is: &dyn Fn(&Seen) -> bool| {
        let count = outcome.seen.iter().filter(|seen| is(seen)).count();
        if count == 0 { "0".to_owned() } else { format!("**{count}**") }
    };
    let failed = |seen: &Seen| {
        matches!(seen.kind, Kind::MayHaveRun | Kind::Broken | Kind::Silent | Kind::Wrong)
    };
    let of_class =
        |class: Class, kind: Kind| move |seen: &Seen| seen.class == class && seen.kind == kind;
    let number = |count: usize| if count == 0 { "0".to_owned() } else { format!("**{count}**") };
    let damage = &outcome.damage;
    vec![
        outcome.seen.len().to_string(),
        count(&|seen| seen.kind == Kind::FalseNotFound),
        count(&|seen| failed(seen) && !seen.writes),
        count(&|seen| failed(seen) && seen.writes),
        count(&of_class(Class::Everywhere, Kind::ComeBack)),
        count(&of_class(Class::New, Kind::ComeBack)),
        number(damage.lost.len()),
        number(damage.doubled.len()),
        number(damage.missed.len()),
        number(damage.misled.len()),
        outcome
            .healed_after
            .map_or("–".to_owned(), |after| format!("{:.1} s", after.as_secs_f64())),
        outcome.sent_astray.map_or("–".to_owned(), |astray| astray.to_string()),
    ]
}

fn section(
    text: &mut String,
    scenario: &Scenario,
    way: Way,
    outcome: &Outcome,
) -> std::fmt::Result {
    writeln!(text, "\n### {way}\n")?;
    for mark in &outcome.marks {
        writeln!(text, "- {:.1} s: {}", mark.at.as_secs_f64(), mark.text)?;
    }
    writeln!(text, "\n```text\n{outcome}\n```\n")?;
    for promise in outcome.broken_promises(scenario.manner) {
        writeln!(text, "- not kept: {}", promise.replace('\n', " "))?;
    }
    for class in Class::ALL {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Done) {
            let mut seen = outcome.seen.iter().filter(|s| s.class == class && s.kind == kind);
            if let Some(first) = seen.next() {
                writeln!(text, "- {kind}, {} times, such as: {first}", 1 + seen.count())?;
            }
        }
    }
    Ok(())
}

fn answers(seen: &[Seen]) -> String {
    let mut text = "at_ms,took_ms,client,what,class,writes,kind,server,words\n".to_owned();
    for seen in seen {
        let quoted = |field: &str| format!("\"{}\"", field.replace('"', "'"));
        let fields = [
            seen.at.as_millis().to_string(),
            seen.took.as_millis().to_string(),
            seen.client.clone(),
            quoted(&seen.what),
            format!("{:?}", seen.class),
            seen.writes.to_string(),
            format!("{:?}", seen.kind),
            seen.server.clone().unwrap_or_default(),
            quoted(&seen.words),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

const INTRODUCTION: &str = "\
Real kube-apiservers on one etcd, a balancer before them, and real clients: requests of the harness \
over HTTP/1.1 and HTTP/2, kube-rs with its retries, watchers and reflectors, kubectl, and \
kube-controller-manager. A 404 is false when a server has what was asked for. Lost, doubled and missed \
are writes and events, by comparison with etcd's history; misled is what controllers removed and \
should not have, or left behind. Healed: from a server's return to the first answer for an API that it \
alone has. Astray: requests that were sent to a server 2.5 s and more after it became unreachable. \
Failed: 502, a broken connection, no answer within 20 s, or another error.";
const HEADER: &str = "\
| scenario | balancer | requests | false 404 | failed reads | failed writes | 503 with Retry-After, APIs of all | 503 with Retry-After, new APIs | lost | doubled | missed | misled | healed | astray |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";
