//! What `explain` says to people.

use peerway_core::decide::Reason;
use peerway_core::negotiate::{Document, Negotiation};
use peerway_core::request_info::{Kind, RequestInfo};

use super::explained::{Decided, Explained};
use crate::command::output::{columns, heading, shown};
use crate::command::servers::Plane;

/// Several lines: the request, who lists it, the decision, the negotiation.
pub(super) fn of(explained: &Explained<'_>, plane: Option<&Plane>) -> String {
    let request = format!("{} {}", shown(explained.method), shown(explained.target));
    let mut rows = vec![row("  read as", kind(explained.request.kind))];
    rows.extend(fields(&explained.request));
    if let (Some(listed_by), Some(plane)) = (&explained.listed_by, plane) {
        rows.push(row("  listed by", &names(listed_by, plane)));
    }
    if let Some(decision) = &explained.decision {
        rows.extend(decided(decision));
    }
    if let Some(negotiation) = &explained.negotiation {
        rows.extend(negotiated(negotiation));
    }
    format!("{}\n{}", heading(&request), columns(&rows))
}

/// One line.
pub(super) fn line(explained: &Explained<'_>) -> String {
    let info = &explained.request;
    let what = match info.kind {
        Kind::Resource => {
            let parts = [&info.group, &info.version, &info.resource, &info.subresource];
            let api = parts.map(String::as_str).join("/");
            format!("{} {}", shown(&info.verb), shown(api.trim_matches('/')))
        }
        other => kind(other).to_owned(),
    };
    let decision = explained.decision.as_ref().map(|decision| {
        let to = match decision.servers.as_slice() {
            [] => String::new(),
            servers => format!(" {}", shown(&without_repeats(servers).join(","))),
        };
        let reason = decision.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!(": {}{to}{reason}", decision.action)
    });
    let request = format!("{} {}", shown(explained.method), shown(explained.target));
    format!("{request}: {what}{}", decision.unwrap_or_default())
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Resource => "a resource",
        Kind::NonResource => "no resource: authorized by its path",
        Kind::Error => "a path that a server cannot resolve: answered with 500",
        Kind::BadRequest => "no valid HTTP request: answered with 400",
    }
}

fn fields(info: &RequestInfo) -> impl Iterator<Item = Vec<String>> {
    let group = match (info.kind, info.group.as_str()) {
        (Kind::Resource, "") => "the core group",
        (_, group) => group,
    };
    let fields = [
        ("  verb", info.verb.as_str()),
        ("  group", group),
        ("  version", &info.version),
        ("  namespace", &info.namespace),
        ("  resource", &info.resource),
        ("  name", &info.name),
        ("  subresource", &info.subresource),
        ("  path", &info.decoded_path),
    ];
    fields.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| row(name, value))
}

fn names(listed_by: &[&str], plane: &Plane) -> String {
    match listed_by.len() {
        0 => "nobody".to_owned(),
        count if count > 1 && count == plane.servers.len() => format!("all {count} servers"),
        1 if plane.servers.len() == 1 => listed_by.join(""),
        _ => {
            let others = plane.servers.iter().map(|server| server.name.as_str());
            let others: Vec<_> = others.filter(|name| !listed_by.contains(name)).collect();
            format!("{}, and not by {}", listed_by.join(", "), others.join(", "))
        }
    }
}

fn decided(decision: &Decided<'_>) -> Vec<Vec<String>> {
    let action = match (decision.action, without_repeats(&decision.servers).as_slice()) {
        ("pool-once", _) => "any server, and never sent twice".to_owned(),
        (_, []) => "any server, untouched".to_owned(),
        ("merged", servers) => {
            format!("asks {}, and answers with the merged document", servers.join(", then "))
        }
        (action, servers) => {
            let once = if action == "peers-once" { ", and never sent twice" } else { "" };
            format!("asks {}{once}", servers.join(", then "))
        }
    };
    let mut rows = vec![row("  decision", &format!("{}: {action}", decision.action))];
    if let Some(reason) = decision.why {
        rows.push(row("  reason", &format!("{}: {}", reason.name(), because(reason))));
    }
    if decision.stamp {
        rows.push(row("  stamp", "the server is told not to look further itself"));
    }
    rows
}

fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::ListedBySome => "not every server lists it; those that do come first",
        Reason::ListedByUnconfirmed => "only servers that are gone, or not read again yet, list it",
        Reason::ListedByNobody => "no server is known to list it, so all are asked",
        Reason::HasEverything => "servers differ, so one that has everything answers",
        Reason::Merged => "no server has everything",
        Reason::Starting => "some server was never read, and is still waited for",
        Reason::FullestServer => "servers differ, so one that lists the most answers",
        Reason::NoMap => "no map yet, so all are asked",
        Reason::MapExpired => "the map is too old, so all are asked",
    }
}

fn negotiated(negotiation: &Negotiation) -> Vec<Vec<String>> {
    let document = match negotiation.result {
        Document::Legacy => "a plain list",
        Document::Aggregated => "the aggregated document",
        Document::NotAcceptable => "nothing that is acceptable",
    };
    let mut rows = vec![
        row("  negotiated", document),
        row("  status", &negotiation.status.to_string()),
        row("  content type", &negotiation.content_type),
    ];
    if !negotiation.profile.is_empty() {
        rows.push(row("  profile", &negotiation.profile));
    }
    rows
}

/// The first servers of a decision are named twice; people need them once.
fn without_repeats<'a>(servers: &[&'a str]) -> Vec<&'a str> {
    let mut once = Vec::new();
    for server in servers {
        if !once.contains(server) {
            once.push(*server);
        }
    }
    once
}

fn row(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), shown(value)]
}
