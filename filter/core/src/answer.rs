//! A server's answer to a discovery request, and the merged document -> what the caller gets.
//!
//! The server has said whether the caller may see discovery, and in which form it is written: both
//! count as they are. What it lists is replaced, and with it everything in the head that speaks of
//! the body. Knows nothing of servers or maps.

use bytes::Bytes;

use crate::cluster::MergedDocument;
use crate::discovery::Form;

/// What the caller said of the answer that it wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The first `If-None-Match` line.
    pub if_none_match: Option<Vec<u8>>,
    /// The type under which a plain document in JSON suits it, `None` if none does.
    pub plain_type: Option<&'static str>,
}

/// The head of a server's answer.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `:status`.
    pub status: &'a [u8],
    /// `content-type`, empty if there is none.
    pub content_type: &'a [u8],
}

impl Head<'_> {
    /// Whether a document may stand in for this answer. Otherwise the server has refused, told to wait,
    /// or failed, and the caller gets that as it is.
    pub fn makes_way(&self) -> bool {
        matches!(self.status, b"200" | b"404")
    }
}

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The caller gets it as it is.
    Pass,
    /// Status and body are replaced, and these headers set, or removed where there is no value.
    Replace {
        /// `:status`.
        status: &'static str,
        /// Headers, in lower case.
        headers: Vec<(&'static str, Option<String>)>,
        /// The whole body.
        body: Bytes,
    },
}

/// Decides on an answer. `document` is the merged document, `None` when it cannot be had.
pub fn answer(head: Head<'_>, caller: &Caller, document: Option<&MergedDocument>) -> Answer {
    if !head.makes_way() {
        return Answer::Pass;
    }
    match (document, caller.plain_type) {
        (Some(document), _) if !document.etag.is_empty() && is_aggregated(head) => {
            aggregated(head, caller, document)
        }
        (Some(document), Some(media_type)) if document.etag.is_empty() && !is_aggregated(head) => {
            plain(media_type, document)
        }
        _ => not_now(),
    }
}

/// Whether it is aggregated discovery as text: JSON, or YAML, of which JSON is a part. A server says
/// that it lacks a group or version (404) to who may ask for it, and to nobody else: that is plain.
fn is_aggregated(head: Head<'_>) -> bool {
    let parameters = |media_type: &[u8]| head.content_type.strip_prefix(media_type);
    let of_yaml = parameters(b"application/yaml");
    let as_json = of_yaml.map(|parameters| [b"application/json", parameters].concat());
    let form = Form::of(as_json.as_deref().unwrap_or(head.content_type));
    head.status == b"200" && form == Ok(Form::Aggregated)
}

/// Plain documents have no `ETag`, so there is nothing that a caller could have of them already.
fn plain(media_type: &str, document: &MergedDocument) -> Answer {
    let body = document.body.clone();
    let headers = vec![
        ("content-type", Some(media_type.to_owned())),
        ("cache-control", Some("no-cache, private".to_owned())),
        ("content-encoding", None),
        ("x-content-type-options", None),
        ("content-length", Some(body.len().to_string())),
    ];
    Answer::Replace { status: "200", headers, body }
}

fn aggregated(head: Head<'_>, caller: &Caller, document: &MergedDocument) -> Answer {
    let mut headers = vec![
        ("etag", Some(document.etag.clone())),
        ("vary", Some("Accept".to_owned())),
        ("cache-control", Some("public".to_owned())),
        ("content-encoding", None),
    ];
    if caller.if_none_match.as_deref() == Some(document.etag.as_bytes()) {
        headers.extend([("content-length", None), ("content-type", None)]);
        return Answer::Replace { status: "304", headers, body: Bytes::new() };
    }
    let body = match is_v2beta1(head.content_type) {
        true => as_v2beta1(&document.body),
        false => document.body.clone(),
    };
    headers.push(("content-length", Some(body.len().to_string())));
    Answer::Replace { status: "200", headers, body }
}

/// In place of an answer that speaks of one server alone.
pub(crate) fn not_now() -> Answer {
    let body = Bytes::from_static(NOT_YET.as_bytes());
    let headers = vec![
        ("content-type", Some("application/json".to_owned())),
        ("retry-after", Some("1".to_owned())),
        ("cache-control", Some("no-cache, private".to_owned())),
        ("etag", None),
        ("content-encoding", None),
        ("content-length", Some(body.len().to_string())),
    ];
    Answer::Replace { status: "503", headers, body }
}

/// The answer while it is not known what the cluster serves: `Status` as `k8s.io/apimachinery` writes
/// it.
pub const NOT_YET: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"no kube-apiserver can be asked just now that could answer for the whole cluster","#,
    r#""reason":"ServiceUnavailable","details":{"retryAfterSeconds":1},"code":503}"#,
);

fn is_v2beta1(content_type: &[u8]) -> bool {
    content_type.split(|byte| *byte == b';').any(|part| part.trim_ascii() == b"v=v2beta1")
}

/// The two versions have the same fields: only the name of the version differs, and it stands at the
/// front.
fn as_v2beta1(body: &Bytes) -> Bytes {
    const V2: &[u8] = br#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","#;
    const V2BETA1: &[u8] =
        br#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2beta1","#;
    match body.strip_prefix(V2) {
        Some(rest) => [V2BETA1, rest].concat().into(),
        None => body.clone(),
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

    fn document() -> MergedDocument {
        let body =
            r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","x":1}"#;
        MergedDocument { etag: "\"AB\"".into(), body: body.into() }
    }

    fn asked(status: &str, content_type: &str, if_none_match: &str) -> Answer {
        let head = Head { status: status.as_bytes(), content_type: content_type.as_bytes() };
        let caller = Caller {
            if_none_match: Some(if_none_match.into()),
            plain_type: Some("application/json"),
        };
        answer(head, &caller, Some(&document()))
    }

    #[test]
    fn what_a_server_refuses_passes_as_it_is() {
        for status in ["401", "403", "406", "429", "500", "503", "304"] {
            assert_eq!(asked(status, V2, "\"AB\""), Answer::Pass, "{status}");
        }
    }

    #[test]
    fn only_exactly_the_etag_is_not_modified() {
        let status = |if_none_match| match asked("200", V2, if_none_match) {
            Answer::Replace { status, body, .. } => (status, body.is_empty()),
            Answer::Pass => panic!("{if_none_match} passed"),
        };
        assert_eq!(status("\"AB\""), ("304", true));
        for other in ["", "*", "AB", "W/\"AB\"", "\"AB\", \"CD\"", "\"ab\""] {
            assert_eq!(status(other), ("200", false), "{other}");
        }
    }

    #[test]
    fn the_older_version_differs_in_its_name_alone() {
        let Answer::Replace { body, .. } = asked("200", &V2.replace("v2", "v2beta1"), "") else {
            panic!("passed");
        };
        let expected =
            br#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2beta1","x":1}"#;
        assert_eq!(body, expected.as_slice());
    }

    #[test]
    fn as_yaml_the_same_text_is_shown() {
        let yaml = V2.replace("json", "yaml");
        let Answer::Replace { status, headers, body } = asked("200", &yaml, "") else {
            panic!("passed");
        };
        assert_eq!((status, &body), ("200", &document().body));
        // It stays what the server says.
        assert!(headers.iter().all(|(name, _)| *name != "content-type"));
    }

    #[test]
    fn a_plain_document_stands_in_for_what_a_server_has_and_for_what_it_lacks() {
        let document = MergedDocument { etag: String::new(), body: "{}".into() };
        for (status, content_type) in [("200", "application/json"), ("404", "text/plain")] {
            for media_type in ["application/json", "application/yaml"] {
                let head =
                    Head { status: status.as_bytes(), content_type: content_type.as_bytes() };
                // There is no `ETag` to match.
                let caller =
                    Caller { if_none_match: Some("".into()), plain_type: Some(media_type) };
                let Answer::Replace { status, headers, body } =
                    answer(head, &caller, Some(&document))
                else {
                    panic!("{status} passed");
                };
                assert_eq!((status, &*body), ("200", b"{}".as_slice()));
                assert!(headers.contains(&("content-type", Some(media_type.to_owned()))));
            }
        }
    }

    #[test]
    fn what_speaks_of_one_server_alone_never_passes() {
        let head = Head { status: b"200", content_type: V2.as_bytes() };
        let plain = Head { status: b"200", content_type: b"application/vnd.kubernetes.protobuf" };
        let of_plain = MergedDocument { etag: String::new(), body: "{}".into() };
        for other in [
            asked("200", "application/json", ""),
            asked("200", "", ""),
            asked("404", V2, ""),
            answer(head, &Caller::default(), None),
            answer(plain, &Caller::default(), Some(&of_plain)),
        ] {
            assert!(matches!(other, Answer::Replace { status: "503", .. }), "{other:?}");
        }
    }
}
