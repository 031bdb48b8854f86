//! A rehearsal's report -> text for people.

use envoy_config::rehearsal::skew::Way;
use envoy_config::rehearsal::tally::{Count, Harm, Share, Tally};

use super::Report;
use crate::command::output::{columns, shown};

/// The whole report, ending with a line end.
pub(super) fn of(report: &Report<'_>) -> String {
    let names: Vec<_> = report.servers.iter().map(|server| server.name.as_str()).collect();
    let tally = report.tally;
    let (requests, skewed) = (grouped(tally.requests), grouped(tally.skewed));
    let all = format!("{requests} requests");
    if tally.skewed == 0 {
        return format!(
            "{all}, all for what {} have in common: nothing would have gone wrong.\n{}",
            names.join(", "),
            unlisted(tally)
        );
    }
    let mut text = format!(
        "{all}, {skewed} of them for what {} do not all have.\n\n{}\n{}{}",
        names.join(", "),
        ways(tally),
        recorded(tally),
        unlisted(tally)
    );
    text.push_str(&apis(report));
    text.push_str(&clients(report));
    text
}

fn ways(tally: &Tally) -> String {
    let heading = ["", "FALSE 404", "INCOMPLETE DISCOVERY"].map(String::from).to_vec();
    let rows = Way::ALL.into_iter().zip(tally.ways.in_order()).map(|(way, harm)| {
        vec![way.name().to_owned(), about(harm.false404), about(harm.incomplete_discovery)]
    });
    columns(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

fn about(count: Count) -> String {
    match count.possible {
        0 => "none".to_owned(),
        possible => format!("about {}, at most {}", number(count.expected), grouped(possible)),
    }
}

fn recorded(tally: &Tally) -> String {
    if tally.recorded404 == 0 && tally.refused == 0 {
        return String::new();
    }
    format!(
        "Of these the log shows {} answered with 404, and {} refused (401, 403), which no skew \
         changes.\n",
        grouped(tally.recorded404),
        grouped(tally.refused)
    )
}

fn unlisted(tally: &Tally) -> String {
    match tally.unlisted {
        0 => String::new(),
        count => format!(
            "Besides, {} are for what none of these servers lists: they are told 404 in any case, \
             or discovery does not name what they ask for.\n",
            grouped(count)
        ),
    }
}

const COLUMNS: [&str; 5] = ["REQUESTS", "404 IN LOG", "PLAIN", "BUILT-IN", "PEERWAY"];

fn apis(report: &Report<'_>) -> String {
    let mut rows = vec![heading(&["API", "LISTED BY"])];
    rows.extend(report.apis.iter().map(|api| {
        let mut row = vec![api.api.clone(), api.share.listed_by.join(",")];
        row.extend(cells(&api.share));
        row
    }));
    format!("\nFalse 404s (and incomplete discovery) by API:\n{}", columns(&rows))
}

fn clients(report: &Report<'_>) -> String {
    if report.clients.is_empty() {
        return "\nThe log names no clients; a kube-apiserver's audit log does.\n".to_owned();
    }
    let mut rows = vec![heading(&["USER", "AGENT", "FROM"])];
    rows.extend(report.clients.iter().map(|client| {
        let addresses = client.source_ips.join(",");
        let mut row =
            [&client.user, &client.user_agent, &addresses].map(|part| shown(part)).to_vec();
        row.extend(cells(&client.share));
        row
    }));
    format!("\nBy client:\n{}", columns(&rows))
}

fn heading(first: &[&str]) -> Vec<String> {
    first.iter().chain(&COLUMNS).map(|column| (*column).to_owned()).collect()
}

fn cells(share: &Share) -> Vec<String> {
    let mut cells = vec![grouped(share.requests), grouped(share.recorded404)];
    cells.extend(share.ways.in_order().map(harm));
    cells
}

fn harm(harm: Harm) -> String {
    let [false404, incomplete] = [harm.false404, harm.incomplete_discovery];
    match (false404.possible, incomplete.possible) {
        (_, 0) => number(false404.expected),
        (0, _) => format!("({})", number(incomplete.expected)),
        _ => format!("{} ({})", number(false404.expected), number(incomplete.expected)),
    }
}

/// One decimal where it says something, none above ten.
fn number(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    if tenths >= 10.0 || tenths.fract() == 0.0 {
        grouped(value.round() as u64)
    } else {
        format!("{tenths:.1}")
    }
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_far_as_they_mean_something() {
        for (value, expected) in [
            (0.0, "0"),
            (0.666, "0.7"),
            (3.0, "3"),
            (9.96, "10"),
            (12.6, "13"),
            (1234567.2, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
