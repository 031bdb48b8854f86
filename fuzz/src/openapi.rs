//! Two servers' OpenAPI, and what a caller asks for -> the merged index and document, and its answer.
//!
//! Lines: the request's target, `Accept`, `If-None-Match`. Behind them the two indexes and then the
//! documents that they name, with lines of three dashes between.

use std::collections::BTreeMap;

use peerway_core::answer::Answer;
use peerway_core::apis::Apis;
use peerway_core::openapi::{Asked, ROOT, Reader, answer};
use peerway_core::request::{Form, Scope};
use peerway_core::serving_map::{PageKey, Rows, Standing, View, build, page_key};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::input::{apis, lines};

const GROUP_VERSION: Scope<'_> = Scope::GroupVersion(b"g", b"v1");
/// More questions than two indexes lead to.
const MAX_QUESTIONS: usize = 8;

pub(crate) fn check(data: &[u8]) {
    let ([target, accept, if_none_match], rest) = lines(data);
    let bodies = parts(rest);
    let body = |at: usize| bodies.get(at).copied().unwrap_or_default();
    // Neither server has all of `g/v1`.
    let listed = [apis(&["g/v1/x/", "g/v1/z/", "h/v1/y/"]), apis(&["g/v1/x/", "g/v1/w/"])];
    let mut reader = Reader::default();
    reader.settle(&mut rows(&listed));
    let mut questions = reader.due(1_000);
    let mut asked = 0;
    while let Some(question) = questions.pop() {
        asked += 1;
        assert!(asked <= MAX_QUESTIONS && question.path.starts_with(ROOT), "{question:?}");
        let at = if question.path == ROOT { question.server } else { 2 + question.server };
        questions.extend(reader.hear(&question, Some(body(at))).0);
    }
    let mut settled = rows(&listed);
    let documents = reader.settle(&mut settled);
    let of = |key: &PageKey| documents.iter().find_map(|(of, it)| (of == key).then_some(it));

    let index = of(&page_key(Scope::Cluster, Form::OpenApiIndex));
    let named = index.map(|index| paths::<Value>(&index.body)).unwrap_or_default();
    for at in [0, 1] {
        let own = paths::<Value>(body(at));
        let is_read = serde_json::from_slice::<Value>(body(at)).is_ok();
        let has_url = |entry: &Value| entry.get("serverRelativeURL").is_some_and(Value::is_string);
        if is_read && own.values().all(has_url) {
            assert!(own.keys().all(|path| named.contains_key(path)), "a path of {at} is not named");
        }
    }
    let united = of(&page_key(GROUP_VERSION, Form::OpenApi));
    if let Some(united) = united {
        let all = paths::<&RawValue>(&united.body);
        for at in [2, 3] {
            let own = paths::<&RawValue>(body(at));
            assert!(own.keys().all(|path| all.contains_key(path)), "a path of {at} is missing");
        }
    }
    let if_none_match = (!if_none_match.is_empty()).then(|| if_none_match.to_vec());
    for (scope, document) in [(Scope::Cluster, index), (GROUP_VERSION, united)] {
        let asked = Asked::of(scope, target, accept, if_none_match.clone());
        assert_eq!(answer(b"403", &asked, document), Answer::Pass);
        let answer = answer(b"200", &asked, document);
        assert!(matches!(answer, Answer::Replace { .. }), "one server's answer passed");
    }
}

fn rows(listed: &[Apis]) -> Rows {
    let view = |apis| View { standing: Standing::Confirmed, apis: Some(apis), read_ms: 1 };
    build(&listed.iter().map(view).collect::<Vec<_>>())
}

fn parts(mut data: &[u8]) -> Vec<&[u8]> {
    const BETWEEN: &[u8] = b"\n---\n";
    let mut parts = Vec::new();
    while let Some(at) = data.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        let (part, rest) = data.split_at(at);
        parts.push(part);
        data = rest.get(BETWEEN.len()..).unwrap_or_default();
    }
    parts.push(data);
    parts
}

/// What a document says of each path; nothing if it cannot be read. Raw values may be what no reader
/// takes: they are passed on as they are.
fn paths<'a, V: Deserialize<'a>>(json: &'a [u8]) -> BTreeMap<String, V> {
    let read = || {
        let members = serde_json::from_slice::<BTreeMap<String, &RawValue>>(json).ok()?;
        serde_json::from_str(members.get("paths")?.get()).ok()
    };
    read().unwrap_or_default()
}
