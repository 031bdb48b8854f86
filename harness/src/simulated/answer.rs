//! The usual answer of a simulated server: what a kube-apiserver that lists the same would say,
//! except that every object is there and its content is an echo of the request.

use anyhow::Result;
use hyper::StatusCode;
use hyper::header::CACHE_CONTROL;
use serde_json::json;

use super::not_found::page_not_found;
use super::resource::Asked;
use super::state::State;
use super::{Encoding, NotFound, Recorded, Reply, accept};

/// The answer when nothing is wrong.
pub(super) fn usual(state: &State, request: &Recorded) -> Result<Reply> {
    let Some(path) = decoded(request.path()) else {
        return Ok(Reply::new(StatusCode::BAD_REQUEST).body(PLAIN_TEXT, "400 Bad Request"));
    };
    if ["/readyz", "/livez", "/healthz"].contains(&path.as_str()) {
        return Ok(Reply::new(StatusCode::OK).body(PLAIN_TEXT, "ok"));
    }
    if path == "/version" {
        return Ok(version(&state.version));
    }
    if path.contains("//") {
        return Ok(page_not_found());
    }
    let discovery = state.discovery();
    if let Some(reply) = discovery.reply(&path, query(request), &request.headers) {
        return Ok(reply);
    }
    match Asked::from_path(&path) {
        Some(asked) if discovery.lists(&asked.resource) => Ok(echo(state, request)),
        _ if discovery.knows_group(group(&path)) => unknown_resource(request),
        _ => Ok(page_not_found()),
    }
}

/// The `Status` of a server that knows the group and not the resource, as the client wants it
/// encoded.
pub(super) fn unknown_resource(request: &Recorded) -> Result<Reply> {
    NotFound::resource().reply(encoding(request))
}

/// The `Status` that the object named by the path is missing; `None` when it names none.
pub(super) fn missing_object(request: &Recorded) -> Option<Result<Reply>> {
    let asked = Asked::from_path(&decoded(request.path())?)?;
    let not_found = NotFound::object(&asked.resource.group, &asked.resource.resource, &asked.name?);
    Some(not_found.reply(encoding(request)))
}

/// A real server writes an error indented when it cannot write it as it was asked to.
fn encoding(request: &Recorded) -> Encoding {
    let accepted = accept::encoding(&request.headers, query(request));
    accepted.unwrap_or(Encoding::IndentedJson)
}

fn echo(state: &State, request: &Recorded) -> Reply {
    let body = json!({
        "kind": "Echo",
        "apiVersion": "simulated/v1",
        "server": state.name,
        "method": request.method.as_str(),
        "target": request.target,
        "bodyBytes": request.body_bytes,
    });
    Reply::new(StatusCode::OK)
        .header(CACHE_CONTROL, "no-cache, private")
        .body("application/json", format!("{body}\n"))
}

fn version(version: &str) -> Reply {
    let mut numbers = version.split('.');
    let body = json!({
        "major": numbers.next().unwrap_or_default(),
        "minor": numbers.next().unwrap_or_default(),
        "gitVersion": format!("v{version}"),
    });
    Reply::new(StatusCode::OK).body("application/json", body.to_string())
}

/// The group of an API path; one that no server knows for any other path.
fn group(path: &str) -> &str {
    let mut segments = path.trim_matches('/').split('/');
    match (segments.next(), segments.next()) {
        (Some("api"), Some(_)) => "",
        (Some("apis"), Some(group)) if !group.is_empty() => group,
        _ => "no API path",
    }
}

fn query(request: &Recorded) -> &str {
    request.target.split_once('?').map_or("", |(_, query)| query)
}

/// Percent-decoded once, as Go does before it looks at the segments; `None` for a bad escape.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        let value = char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?;
        bytes.push(u8::try_from(value).ok()?);
        rest = tail;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
