//! What kube-apiserver 1.36.3 answered to these headers.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const G: &str = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `status content-type` for a path and a header, in which a parameter `G` stands for three.
fn answer(path: &str, accept: &str) -> String {
    match negotiate(path.as_bytes(), &accept.replace(";G", &format!(";{G}")), Served::default()) {
        Some(answer) => format!("{} {}", answer.status, answer.content_type).replace(G, "G"),
        None => "none".to_owned(),
    }
}

#[test]
fn aggregated_is_tried_first_wherever_it_stands() {
    for (accept, expected) in [
        ("application/json;G", "200 application/json;G"),
        (
            "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
            "200 application/json;G",
        ),
        ("application/json, application/yaml;q=0.1;G", "200 application/yaml;G"),
        ("application/json;G;profile=nopeer", "200 application/json;G"),
        ("application/xml, */*;q=0.1;G, application/yaml", "200 application/json;G"),
        ("application/*;G", "200 application/json;G"),
        (" application/vnd.kubernetes.protobuf ;G", "200 application/vnd.kubernetes.protobuf;G"),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            "406 application/json",
        ),
        ("application/json;g=x", "406 application/json"),
        ("", "200 application/json"),
        (" \t", "200 application/json"),
        ("*", "200 application/json"),
        ("*/json", "406 application/json"),
        ("application", "406 application/json"),
        ("text/html", "406 application/json"),
        ("Application/json", "406 application/json"),
        ("application/json;stream=watch", "200 application/json"),
        ("application/json;stream=x", "406 application/json"),
        ("application/yaml;stream=watch", "406 application/json"),
        ("application/json;sv=1", "406 application/json"),
        ("application/yaml;foo=bar", "200 application/yaml"),
    ] {
        assert_eq!(answer("/apis", accept), expected, "{accept}");
    }
}

#[test]
fn clauses_are_ordered_by_quality_with_wildcards_behind() {
    for (accept, expected) in [
        ("application/json;q=0.1,application/yaml", "200 application/yaml"),
        ("application/json;q=x,application/yaml;q=0.1", "200 application/yaml"),
        ("application/json;q=0", "200 application/json"),
        ("*/*,application/yaml", "200 application/yaml"),
        ("*/*,application/yaml;q=0.1", "200 application/yaml"),
        ("application/yaml,application/json", "200 application/yaml"),
        ("application/yaml; q=0.5 ;x=\"a,b\",application/json;q=0.4", "200 application/json"),
    ] {
        assert_eq!(answer("/apis", accept), expected, "{accept}");
    }
}

#[test]
fn paths_differ_in_the_forms_they_have_and_in_who_looks_first() {
    for (path, accept, expected) in [
        ("/apis/", "application/json;G", "406 application/json"),
        ("/apis/", "application/*", "200 application/json"),
        ("/apis/apps", "*", "200 application/json"),
        ("/apis/apps/", "application/json;G", "406 application/json"),
        ("/api", "application/json;G", "200 application/json;G"),
        ("/api/", "application/json;G", "200 application/json;G"),
        ("/api", "application/*;G", "406 application/json"),
        ("/api", "*", "406 application/json"),
        ("/api", "*/*", "200 application/json"),
        ("/api", "", "200 application/json"),
        ("/api", "application / yaml", "406 application/yaml"),
        ("/api/v1", "*/*;G", "406 application/json"),
        ("/api/v1", "application/*", "406 application/json"),
        ("/apis/apps/v1", "application/yaml", "200 application/yaml"),
        ("//apis", "", "none"),
        ("/apis//", "", "none"),
        ("/openapi/v3", "", "none"),
        ("/api/v1/pods", "", "none"),
        ("/version", "", "none"),
    ] {
        assert_eq!(answer(path, accept), expected, "{path} {accept}");
    }
}

#[test]
fn the_versions_served_depend_on_the_minor_version() {
    let v2 = format!("application/json;{G}");
    let beta = v2.replace("v=v2", "v=v2beta1");
    for (minor, has_beta, has_v2) in
        [(26, false, false), (27, true, false), (30, true, true), (33, false, true)]
    {
        let found = |accept: &str| {
            negotiate(b"/apis", accept, Served::by_minor(minor)).map(|answer| answer.result)
        };
        let expected = |has| if has { Document::Aggregated } else { Document::NotAcceptable };
        assert_eq!(found(&beta), Some(expected(has_beta)), "1.{minor}");
        assert_eq!(found(&v2), Some(expected(has_v2)), "1.{minor}");
    }
}

#[test]
fn the_profile_is_the_winning_clause_s() {
    let profile = |accept: &str| negotiate(b"/apis", accept, Served::default()).unwrap().profile;
    assert_eq!(
        profile(&format!("application/json;{G};profile=nopeer,application/json;{G}")),
        "nopeer"
    );
    assert_eq!(profile(&format!("application/json;{G},application/json;{G};profile=nopeer")), "");
    assert_eq!(profile("application/json"), "");
}

#[test]
fn who_takes_json_or_yaml_takes_a_document_in_json() {
    for (accept, expected) in [
        ("", Some("application/json")),
        ("*/*", Some("application/json")),
        ("application/vnd.kubernetes.protobuf, application/json;q=0.1", Some("application/json")),
        ("application/yaml, application/json", Some("application/json")),
        ("application/yaml", Some("application/yaml")),
        ("application/vnd.kubernetes.protobuf, application/yaml", Some("application/yaml")),
        ("application/yaml;stream=watch", None),
        ("application/vnd.kubernetes.protobuf", None),
        ("application/json;as=Table;g=meta.k8s.io;v=v1", None),
        ("text/html", None),
    ] {
        assert_eq!(takes_json_as(accept), expected, "{accept}");
    }
}
