//! One server's answer -> whether it says "I do not know this resource", and whether it may pass.
//!
//! A server that does not know an API is not believed: the next one is asked, and a 404 passes only
//! when every distinct server of the list has said so. Told by the words of the body, which are the
//! same in every encoding and on every version from 1.33 to 1.37; the status alone does not tell an
//! unknown API from a missing object. Such an answer executed nothing, so asking again is safe for
//! every method. So it is with one that turns every request away, because the server is starting or
//! stopping: the next one is asked, and the answer passes when there is none. A server that was gone
//! and refuses the caller may only not have read its RBAC rules yet, and is not believed either.

/// Longer bodies are not looked at: the longest known one has 206 bytes.
pub const MAX_BODY_BYTES: u64 = 512;

/// Content lengths and types of the known "I do not know this resource" answers, for HEAD, which has
/// no body to read. A missing object can have the same: it is then asked for at each server, which
/// is harmless. The native guard on the pool goes by the same ones.
pub const SHAPES: [(u64, &str); 5] = [
    (19, "text/plain; charset=utf-8"),
    (174, "application/json"),
    (206, "application/json"),
    (116, "application/vnd.kubernetes.protobuf"),
    (154, "application/yaml"),
];

/// Length and type of the 429 of a stopping server (`--shutdown-send-retry-after`), which says that
/// it is shutting down. Any other 429 means that the caller is to slow down, and passes.
pub const STOPPING: (u64, &str) = (56, "text/plain; charset=utf-8");

/// In a `Status`, whatever its encoding, and the whole body of an unknown group.
const WORDS: [&[u8]; 2] =
    [b"the server could not find the requested resource", b"404 page not found"];

/// The head of an answer, as far as it matters.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Whether the request was a HEAD.
    pub is_head: bool,
    /// `:status`.
    pub status: &'a [u8],
    /// `content-length`, if there is one.
    pub content_length: Option<&'a [u8]>,
    /// `content-type`, if there is one.
    pub content_type: Option<&'a [u8]>,
    /// `retry-after`, if there is one.
    pub retry_after: Option<&'a [u8]>,
}

/// What the head of an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// An answer: passes as it is.
    Answer,
    /// A small 404: its body tells.
    ReadBody,
    /// Has the shape of "I do not know this resource", and no body to tell otherwise.
    NotKnown,
    /// The server turns requests away, unseen: it is starting, or stopping.
    TurnedAway,
    /// The caller may not do this, says the server.
    Refused,
}

/// Whether [`look`] has anything to see in an answer of this status.
pub fn is_telling(status: &[u8]) -> bool {
    matches!(status, b"403" | b"404" | b"429" | b"503")
}

/// Looks at the head of an answer.
pub fn look(head: Head<'_>) -> Look {
    let length: Option<u64> =
        head.content_length.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let content_type = head.content_type.unwrap_or_default();
    let is =
        |(bytes, kind): &(u64, &str)| Some(*bytes) == length && kind.as_bytes() == content_type;
    match head.status {
        b"403" => Look::Refused,
        b"404" if length.is_none_or(|length| length > MAX_BODY_BYTES) => Look::Answer,
        b"404" if !head.is_head => Look::ReadBody,
        b"404" if SHAPES.iter().any(is) => Look::NotKnown,
        // With `Retry-After` clients send any request again, whatever its method: so may Envoy.
        b"503" if head.retry_after.is_some() => Look::TurnedAway,
        b"429" if is(&STOPPING) => Look::TurnedAway,
        _ => Look::Answer,
    }
}

/// Whether the body of a small 404 says that the server does not know the resource.
pub fn says_not_known(body: &[u8]) -> bool {
    WORDS.iter().any(|words| body.windows(words.len()).any(|window| window == *words))
}

/// What becomes of an answer that says "I do not know this resource".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every server of the list has said so: it is true.
    Pass,
    /// Somebody else may know it: ask the next, or answer 503. `said` is to be kept for the next
    /// attempt of the same request.
    AskNext {
        /// Everybody who has said so by now, separated by commas.
        said: Vec<u8>,
    },
}

/// Weighs the word of `witness` (`ip:port`): `list` is who was to be asked, `said` who has said so in
/// earlier attempts, both separated by commas.
pub fn weigh(list: &[u8], said: &[u8], witness: &[u8]) -> Verdict {
    let has_said = |server: &[u8]| server == witness || entries(said).any(|who| who == server);
    if entries(list).all(has_said) {
        return Verdict::Pass;
    }
    let mut said = said.to_vec();
    if !said.is_empty() {
        said.push(b',');
    }
    said.extend(witness);
    Verdict::AskNext { said }
}

/// The answer in place of a doubted 404, when no further attempt can be made: `Status` as
/// `k8s.io/apimachinery` writes it. Nothing was executed, so clients may try again.
pub const DOUBTED: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"a kube-apiserver does not know this resource, and another that may know it could not be asked","#,
    r#""reason":"ServiceUnavailable","details":{"retryAfterSeconds":1},"code":503}"#,
);

/// Whether the refusal of `witness` is to be believed: `gone` is which of the servers that were to be
/// asked were gone, separated by commas.
pub fn may_refuse(gone: &[u8], witness: &[u8]) -> bool {
    !entries(gone).any(|server| server == witness)
}

/// The answer in place of such a refusal, when no further attempt can be made.
pub const STARTING: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"a kube-apiserver that is starting refuses everybody, and no other may serve this","#,
    r#""reason":"ServiceUnavailable","details":{"retryAfterSeconds":1},"code":503}"#,
);

fn entries(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn head<'a>(status: &'a str, length: &'a str, content_type: &'a str) -> Head<'a> {
        Head {
            is_head: false,
            status: status.as_bytes(),
            content_length: Some(length.as_bytes()),
            content_type: Some(content_type.as_bytes()),
            retry_after: None,
        }
    }

    #[test]
    fn only_a_small_404_is_read() {
        let json = "application/json";
        assert_eq!(look(head("404", "174", json)), Look::ReadBody);
        for other in [
            head("200", "174", json),
            head("404", "513", json),
            head("404", "-1", json),
            head("404", "x", json),
        ] {
            assert_eq!(look(other), Look::Answer, "{other:?}");
        }
        assert_eq!(look(Head { content_length: None, ..head("404", "", json) }), Look::Answer);
    }

    #[test]
    fn a_server_that_starts_or_stops_is_told_from_one_that_is_busy_or_broken() {
        let text = "text/plain; charset=utf-8";
        let come_back = |head| Head { retry_after: Some(b"5"), ..head };
        let stopping = head("429", "56", text);
        assert_eq!(look(come_back(head("503", "148", "application/json"))), Look::TurnedAway);
        assert_eq!(look(come_back(head("503", "x", ""))), Look::TurnedAway);
        assert_eq!(look(come_back(Head { is_head: true, ..stopping })), Look::TurnedAway);
        let busy = come_back(head("429", "43", text));
        for passes in [busy, head("503", "20", text), come_back(head("500", "56", text))] {
            assert_eq!(look(passes), Look::Answer, "{passes:?}");
        }
    }

    #[test]
    fn a_head_request_is_told_by_its_shape() {
        let of_head = |length, content_type| {
            look(Head { is_head: true, ..head("404", length, content_type) })
        };
        assert_eq!(of_head("19", "text/plain; charset=utf-8"), Look::NotKnown);
        assert_eq!(of_head("174", "application/json"), Look::NotKnown);
        assert_eq!(of_head("116", "application/vnd.kubernetes.protobuf"), Look::NotKnown);
        assert_eq!(of_head("175", "application/json"), Look::Answer);
        assert_eq!(of_head("174", "application/yaml"), Look::Answer);
    }

    #[test]
    fn the_words_tell_an_unknown_resource_from_a_missing_object() {
        assert!(says_not_known(b"404 page not found\n"));
        assert!(says_not_known(b"k8s\0\n\x0c\x12\x07Failure\x1a0the server could not find the requested resource\"\x08NotFound"));
        assert!(!says_not_known(
            br#"{"message":"pods \"abc\" not found","reason":"NotFound","code":404}"#
        ));
        assert!(!says_not_known(b""));
    }

    #[test]
    fn a_404_passes_only_when_every_distinct_server_has_said_so() {
        let ask_next = |said: &str| Verdict::AskNext { said: said.as_bytes().to_vec() };
        assert_eq!(weigh(b"a:1,b:1", b"", b"a:1"), ask_next("a:1"));
        assert_eq!(weigh(b"a:1,b:1", b"a:1", b"b:1"), Verdict::Pass);
        assert_eq!(weigh(b"a:1,a:1", b"", b"a:1"), Verdict::Pass);
        assert_eq!(weigh(b"a:1,a:1,b:1", b"a:1", b"a:1"), ask_next("a:1,a:1"));
        assert_eq!(weigh(b"dead:1,a:1", b"", b"a:1"), ask_next("a:1"));
        assert_eq!(weigh(b"a:1, b:1", b"b:1", b"a:1"), Verdict::Pass);
        assert_eq!(weigh(b"a:11,a:1", b"", b"a:1"), ask_next("a:1"), "no prefix counts");
    }

    #[test]
    fn the_doubted_answers_are_statuses() {
        for text in [DOUBTED, STARTING] {
            let status: serde_json::Value = serde_json::from_str(text).unwrap();
            let told = (status["kind"].as_str(), status["code"].as_u64());
            assert_eq!(told, (Some("Status"), Some(503)));
        }
    }

    #[test]
    fn only_the_refusal_of_a_server_that_was_gone_is_not_believed() {
        assert_eq!(look(head("403", "300", "application/json")), Look::Refused);
        assert!(!may_refuse(b"a:1,b:1", b"b:1"));
        assert!(may_refuse(b"a:1,b:11", b"b:1"));
        assert!(may_refuse(b"", b"b:1"));
    }
}
