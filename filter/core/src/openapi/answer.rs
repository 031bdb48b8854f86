//! A server's answer to a request for a merged index or document -> what the caller gets.
//!
//! The server has said whether the caller may see it; the rest is said as a server says it of a
//! document of its own (`kube-openapi`, `handler3`): the right hash may be kept for ever, a wrong one
//! is sent to the right one. Merged documents are there in JSON alone.

use bytes::Bytes;

use super::ROOT;
use crate::answer::{Answer, not_now};
use crate::cluster::MergedDocument;
use crate::discovery::GroupVersion;
use crate::request::Scope;

/// What the caller asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// `None` for the index.
    document: Option<GroupVersion>,
    hash: Option<String>,
    if_none_match: Option<Vec<u8>>,
    takes_json: bool,
}

impl Asked {
    /// From what the path speaks of, the raw target, the first `Accept` line and the first
    /// `If-None-Match` line.
    pub fn of(
        scope: Scope<'_>,
        target: &[u8],
        accept: &[u8],
        if_none_match: Option<Vec<u8>>,
    ) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let query = target.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
        let hash = query.split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(b"hash="));
        let document = match scope {
            Scope::GroupVersion(group, version) => {
                Some(GroupVersion { group: text(group), version: text(version) })
            }
            _ => None,
        };
        Self {
            document,
            hash: hash.filter(|hash| !hash.is_empty()).map(text),
            if_none_match,
            takes_json: takes_json(accept),
        }
    }
}

/// Whether a document may stand in for an answer of this status: a server that has another one sends a
/// caller with a hash to that. Otherwise the caller gets the answer as it is.
pub fn makes_way(status: &[u8]) -> bool {
    matches!(status, b"200" | b"301")
}

/// Decides on an answer. `document` is the merged one, `None` when it cannot be had.
pub fn answer(status: &[u8], asked: &Asked, document: Option<&MergedDocument>) -> Answer {
    if !makes_way(status) {
        return Answer::Pass;
    }
    let Some(document) = document else { return not_now() };
    let Some(gv) = &asked.document else {
        return replace("200", Vec::new(), document.body.clone());
    };
    if !asked.takes_json {
        let headers = vec![("content-type", None), ("etag", None), ("location", None)];
        return replace("406", headers, Bytes::new());
    }
    let hash = document.etag.trim_matches('"');
    let mut headers = vec![
        ("etag", Some(document.etag.clone())),
        ("vary", Some("Accept".to_owned())),
        ("content-type", Some("application/json".to_owned())),
    ];
    let is_right = asked.hash.as_ref().map(|asked| asked == hash);
    let caching = match is_right {
        Some(true) => "public, immutable",
        _ => "no-cache, private",
    };
    headers.extend([
        ("cache-control", Some(caching.to_owned())),
        ("expires", None),
        ("last-modified", None),
    ]);
    let location = (is_right == Some(false)).then(|| format!("{ROOT}{}?hash={hash}", gv.path()));
    let is_elsewhere = location.is_some();
    headers.push(("location", location));
    if is_elsewhere {
        return replace("301", headers, Bytes::new());
    }
    if asked.if_none_match.as_deref() == Some(document.etag.as_bytes()) {
        headers.push(("content-type", None));
        return replace("304", headers, Bytes::new());
    }
    replace("200", headers, document.body.clone())
}

fn replace(
    status: &'static str,
    mut headers: Vec<(&'static str, Option<String>)>,
    body: Bytes,
) -> Answer {
    let length = (status != "304").then(|| body.len().to_string());
    headers.extend([("content-encoding", None), ("content-length", length)]);
    Answer::Replace { status, headers, body }
}

/// As `goautoneg` reads it: any clause counts, and none means anything.
fn takes_json(accept: &[u8]) -> bool {
    let is_json = |clause: &[u8]| {
        let media_type = clause.split(|byte| *byte == b';').next().unwrap_or_default();
        matches!(media_type.trim_ascii(), b"application/json" | b"application/*" | b"*/*")
    };
    accept.trim_ascii().is_empty() || accept.split(|byte| *byte == b',').any(is_json)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn document() -> MergedDocument {
        MergedDocument { etag: "\"AB\"".into(), body: "{}".into() }
    }

    const INDEX: Scope<'_> = Scope::Cluster;
    const DOCUMENT: Scope<'_> = Scope::GroupVersion(b"g", b"v1");

    /// Status, `location`, `cache-control` and body of the answer to this.
    fn check(asked: Asked, status: &str, expected: (&str, &str, &str, &str)) {
        let Answer::Replace { status, headers, body } =
            answer(status.as_bytes(), &asked, Some(&document()))
        else {
            panic!("{asked:?} passed");
        };
        let header = |name| {
            let named = headers.iter().find(|(known, _)| *known == name);
            named.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
        };
        let text = std::str::from_utf8(&body).unwrap();
        let seen = (status, header("location"), header("cache-control"), text);
        assert_eq!(seen, expected, "{asked:?}");
    }

    #[test]
    fn a_hash_that_is_right_may_be_kept_and_another_leads_to_it() {
        let path = "/openapi/v3/apis/g/v1";
        let asked = |target: &str, accept: &str| {
            Asked::of(DOCUMENT, target.as_bytes(), accept.as_bytes(), None)
        };
        for status in ["200", "301"] {
            check(asked(path, ""), status, ("200", "", "no-cache, private", "{}"));
            let right = asked(&format!("{path}?x=1&hash=AB"), "*/*");
            check(right, status, ("200", "", "public, immutable", "{}"));
            let wrong = asked(&format!("{path}/?hash=ab"), "application/json");
            let expected = ("301", "/openapi/v3/apis/g/v1?hash=AB", "no-cache, private", "");
            check(wrong, status, expected);
        }
    }

    #[test]
    fn an_index_is_what_it_is_and_protobuf_is_not_there() {
        let index = Asked::of(INDEX, b"/openapi/v3?timeout=32s", b"text/html", None);
        check(index, "200", ("200", "", "", "{}"));
        let protobuf = b"application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
        let document = Asked::of(DOCUMENT, b"/openapi/v3/apis/g/v1", protobuf, None);
        check(document, "200", ("406", "", "", ""));
    }

    #[test]
    fn what_a_server_refuses_passes() {
        let asked = Asked::of(INDEX, b"/openapi/v3", b"", None);
        for status in ["401", "403", "404", "406", "429", "503"] {
            assert_eq!(answer(status.as_bytes(), &asked, Some(&document())), Answer::Pass);
        }
    }

    #[test]
    fn a_known_etag_is_not_sent_again() {
        let asked = Asked::of(DOCUMENT, b"/openapi/v3/apis/g/v1", b"", Some(b"\"AB\"".to_vec()));
        let answer = answer(b"200", &asked, Some(&document()));
        assert!(matches!(answer, Answer::Replace { status: "304", .. }), "{answer:?}");
    }
}
