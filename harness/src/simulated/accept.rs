//! `Accept` as a kube-apiserver reads it: its first line only, aggregated clauses before all
//! others.
//!
//! Weights (`q`) are left out: clients that matter here do not send them.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, USER_AGENT};

use super::{Encoding, Speaks};

/// The version of aggregated discovery to answer with: that of the first clause that asks for one
/// which the server speaks.
pub(super) fn aggregated_version(headers: &HeaderMap, speaks: Speaks) -> Option<&'static str> {
    clauses(headers).into_iter().find_map(|clause| {
        let asks = clause.media_type == "application/json"
            && clause.parameter("g") == Some("apidiscovery.k8s.io")
            && clause.parameter("as") == Some("APIGroupDiscoveryList");
        let version = clause.parameter("v")?;
        speaks.versions().iter().find(|&&spoken| asks && spoken == version).copied()
    })
}

/// The encoding of anything else, `None` when the client accepts none of them.
pub(super) fn encoding(headers: &HeaderMap, query: &str) -> Option<Encoding> {
    let clauses = clauses(headers);
    let plain = clauses.iter().filter(|clause| clause.parameter("as").is_none());
    let accepted = plain.filter_map(|clause| match clause.media_type {
        "application/json" | "application/*" | "*/*" => Some(Encoding::Json),
        "application/yaml" => Some(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
        _ => None,
    });
    let accepted = match accepted.into_iter().next() {
        None if clauses.is_empty() => Encoding::Json,
        None => return None,
        Some(encoding) => encoding,
    };
    let indented = accepted == Encoding::Json && is_for_people(headers, query);
    Some(if indented { Encoding::IndentedJson } else { accepted })
}

fn is_for_people(headers: &HeaderMap, query: &str) -> bool {
    match query.split('&').find_map(|part| part.strip_prefix("pretty=")) {
        Some(value) => ["1", "true"].contains(&value),
        None => text(headers, USER_AGENT).starts_with("curl"),
    }
}

struct Clause<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().rev().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }
}

fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let parts = text(headers, ACCEPT).split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            Clause {
                media_type: pieces.next().unwrap_or_default(),
                parameters: pieces.filter_map(|piece| piece.split_once('=')).collect(),
            }
        })
        .collect()
}

fn text(headers: &HeaderMap, name: hyper::header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
