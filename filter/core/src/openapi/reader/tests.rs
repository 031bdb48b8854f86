//! Servers `0`, `1` … as they are read. Expected documents are written by hand.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::apis::{Apis, Origin};
use crate::serving_map::{Standing, View, build};

/// Rows of servers that list these resources of `g/v1`, `h/v1` …: `gx` is `g/v1/x`.
fn rows(servers: &[(Standing, &[&str])]) -> Rows {
    let apis: Vec<Apis> = servers
        .iter()
        .map(|(_, resources)| {
            let key = |it: &&str| {
                let (group, resource) = it.split_at(1);
                (format!("{group}/v1/{resource}/"), Origin::BuiltIn)
            };
            resources.iter().map(key).collect()
        })
        .collect();
    let view = |((standing, _), apis)| View { standing, apis: Some(apis), read_ms: 1 };
    let views: Vec<_> =
        servers.iter().map(|(standing, it)| (*standing, it)).zip(&apis).map(view).collect();
    build(&views)
}

/// Answers every question, with documents that name their server and path.
fn answer_all(reader: &mut Reader, mut questions: Vec<Question>, groups: &[&str]) -> usize {
    let mut asked = 0;
    while let Some(question) = questions.pop() {
        asked += 1;
        let server = question.server;
        let body = if question.path == ROOT {
            let of = groups.get(server).unwrap().chars();
            let entry = |group| {
                let path = format!("apis/{group}/v1");
                format!(r#""{path}":{{"serverRelativeURL":"{ROOT}/{path}?hash={server}"}}"#)
            };
            format!(r#"{{"paths":{{{}}}}}"#, of.map(entry).collect::<Vec<_>>().join(","))
        } else {
            assert!(question.path.ends_with(&format!("?hash={server}")), "{question:?}");
            format!(r#"{{"paths":{{"/of/{server}":{{}}}}}}"#)
        };
        questions.extend(reader.hear(&question, Some(body.as_bytes())).0);
    }
    asked
}

fn key(group: Option<&str>) -> PageKey {
    match group {
        None => page_key(Scope::Cluster, Form::OpenApiIndex),
        Some(group) => page_key(Scope::GroupVersion(group.as_bytes(), b"v1"), Form::OpenApi),
    }
}

fn body_of(documents: &[(PageKey, MergedDocument)], group: Option<&str>) -> String {
    let found = documents.iter().find(|(of, _)| *of == key(group));
    let (_, document) = found.unwrap_or_else(|| panic!("{group:?} is not there"));
    String::from_utf8(document.body.to_vec()).unwrap()
}

/// An index with these entries, each a path and a query.
fn index(entries: &[(&str, &str)]) -> String {
    let entry = |(path, query): &(&str, &str)| {
        format!(r#""{path}":{{"serverRelativeURL":"{ROOT}/{path}{query}"}}"#)
    };
    format!(r#"{{"paths":{{{}}}}}"#, entries.iter().map(entry).collect::<Vec<_>>().join(","))
}

const C: Standing = Standing::Confirmed;
const GONE: Standing = Standing::Gone;

#[test]
fn nothing_is_read_where_a_server_has_everything() {
    for (servers, differ) in [
        ([["gx", "hy"].as_slice(), &["gx", "hy"]], false),
        ([["gx"].as_slice(), &["gx", "hy"]], true),
    ] {
        let mut reader = Reader::default();
        let mut rows = rows(&servers.map(|resources| (C, resources)));
        assert_eq!(reader.settle(&mut rows), []);
        let own = rows.pages.get(&key(None)).map(|page| page.own);
        assert_eq!(own, differ.then(|| [1].into_iter().collect()), "{servers:?}");
        assert_eq!(reader.due(1_000), []);
    }
}

#[test]
fn an_index_is_merged_and_a_document_only_where_no_server_has_it_whole() {
    let servers: [(Standing, &[&str]); 2] = [(C, &["gx", "gz", "hy"]), (C, &["gx", "gw", "kv"])];
    let mut reader = Reader::default();
    reader.settle(&mut rows(&servers));
    let questions = reader.due(1_000);
    // Two indexes, and `g/v1` of each.
    assert_eq!(answer_all(&mut reader, questions, &["gh", "gk"]), 4);
    let mut settled = rows(&servers);
    let documents = reader.settle(&mut settled);
    assert_eq!(body_of(&documents, Some("g")), r#"{"paths":{"/of/0":{},"/of/1":{}}}"#);
    let united = documents.iter().find(|(of, _)| *of == key(Some("g"))).unwrap();
    let query = format!("?hash={}", united.1.etag.trim_matches('"'));
    let entries =
        [("apis/g/v1", query.as_str()), ("apis/h/v1", "?hash=0"), ("apis/k/v1", "?hash=1")];
    assert_eq!(body_of(&documents, None), index(&entries));
    assert_eq!(documents.len(), 2);
    assert!([None, Some("g")].iter().all(|it| settled.pages[&key(*it)].merged.is_some()));
    assert!(!settled.pages.contains_key(&key(Some("h"))));

    // Nothing new: indexes are read again, documents are not, and all is as it was.
    assert_eq!(reader.due(1_000 + REREAD_MS - 1), []);
    let questions = reader.due(1_000 + REREAD_MS);
    assert_eq!(answer_all(&mut reader, questions, &["gh", "gk"]), 2);
    let mut again = rows(&servers);
    assert_eq!(reader.settle(&mut again), documents);
    assert_eq!(again.pages, settled.pages);

    // A server has everything.
    let complete: [(Standing, &[&str]); 2] =
        [(C, &["gx", "gz", "hy"]), (C, &["gx", "gz", "gw", "hy", "kv"])];
    assert_eq!(reader.settle(&mut rows(&complete)), []);
    assert_eq!(reader.due(1_000_000), []);
}

#[test]
fn what_only_a_server_has_that_was_not_read_is_there_without_a_hash() {
    let servers: [(Standing, &[&str]); 3] = [(C, &["gx"]), (C, &["hy"]), (GONE, &["gx", "kv"])];
    let mut reader = Reader::default();
    let documents = reader.settle(&mut rows(&servers));
    let unread = [("apis/g/v1", ""), ("apis/h/v1", ""), ("apis/k/v1", "")];
    assert_eq!(body_of(&documents, None), index(&unread));
    let questions = reader.due(1_000);
    assert_eq!(answer_all(&mut reader, questions, &["g", "h"]), 2);
    let documents = reader.settle(&mut rows(&servers));
    let read = [("apis/g/v1", "?hash=0"), ("apis/h/v1", "?hash=1"), ("apis/k/v1", "")];
    assert_eq!(body_of(&documents, None), index(&read));

    // It is back: it is read at once, and until then what it lists is there.
    let all: [(Standing, &[&str]); 3] = [(C, &["gx"]), (C, &["hy"]), (C, &["gx", "kv"])];
    let documents = reader.settle(&mut rows(&all));
    assert_eq!(body_of(&documents, None), index(&read));
    assert_eq!(reader.due(1_001).len(), 3);
}

#[test]
fn what_cannot_be_read_is_asked_again_and_never_united() {
    let servers: [(Standing, &[&str]); 2] = [(C, &["gx", "gz"]), (C, &["gx", "gw"])];
    let mut reader = Reader::default();
    reader.settle(&mut rows(&servers));
    for (round, body) in [None, Some(b"{".as_slice()), Some(b"[]")].into_iter().enumerate() {
        let questions = reader.due(1_000 + round as u64 * REREAD_MS);
        assert_eq!(questions.len(), 2, "{round}");
        for question in questions {
            assert_eq!(reader.hear(&question, body), (Vec::new(), false));
        }
        let documents = reader.settle(&mut rows(&servers));
        assert_eq!(documents.len(), 1);
        assert_eq!(body_of(&documents, None), index(&[("apis/g/v1", "")]));
    }
}

#[test]
fn a_document_that_cannot_be_read_holds_up_no_other() {
    let servers: [(Standing, &[&str]); 2] =
        [(C, &["gx", "gz", "hx", "hz"]), (C, &["gx", "gw", "hx", "hw"])];
    let mut reader = Reader::default();
    reader.settle(&mut rows(&servers));
    let own = index(&[("apis/g/v1", "?hash=1"), ("apis/h/v1", "?hash=2")]);
    let mut is_new = false;
    let mut questions = reader.due(1_000);
    while let Some(question) = questions.pop() {
        let body = match question.path.as_str() {
            ROOT => Some(own.as_str()),
            path if path.contains("/g/") => Some(r#"{"paths":{"/g":{}}}"#),
            _ => None,
        };
        let (next, is_news) = reader.hear(&question, body.map(str::as_bytes));
        is_new = is_news;
        questions.splice(0..0, next);
    }
    assert!(is_new, "told when the last answer is there, whatever it is");
    let documents = reader.settle(&mut rows(&servers));
    assert_eq!(body_of(&documents, Some("g")), r#"{"paths":{"/g":{}}}"#);
}

#[test]
fn only_what_can_be_the_path_of_a_document_is_asked_for() {
    let servers: [(Standing, &[&str]); 2] = [(C, &["gx", "gz"]), (C, &["gx", "gw"])];
    let good = "/openapi/v3/apis/g/v1?hash=1";
    let index = index(&[("apis/g/v1", "?hash=1")]);
    for (url, expected) in [
        (good, 1),
        (r"/openapi/v3/apis/g/v1?hash=1\r\nx: y", 0),
        ("/openapi/v3/apis/g/v1?hash= 1", 0),
        ("/openapi/v3/apis/g/v1\u{e9}", 0),
        ("/api", 0),
        // It would be asked for for ever.
        (ROOT, 0),
    ] {
        let mut reader = Reader::default();
        reader.settle(&mut rows(&servers));
        let question = reader.due(1_000).remove(0);
        let (next, _) = reader.hear(&question, Some(index.replace(good, url).as_bytes()));
        assert_eq!(next.len(), expected, "{url}");
    }
}
