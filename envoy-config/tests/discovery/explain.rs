//! `peerway explain`: the case table of the core, the reading alone, many requests, and what is no
//! request.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Output, Stdio};

use peerway_testdata::{Case, Plane, Server, Standing, table};
use serde_json::{Value, json};

use crate::run::{json as json_of, peerway, printed, refuses, said, servers};

/// Flags for its servers, if all of them are confirmed.
fn flags(plane: &Plane) -> Option<Vec<String>> {
    let flag = |Server { name, version, standing }: &Server| {
        let version = version.as_ref().filter(|_| *standing == Standing::Confirmed)?;
        Some(format!("--server={name}=../filter/core/testdata/discovery/{version}"))
    };
    plane.servers.iter().map(flag).collect::<Option<_>>().filter(|_| plane.map.is_none())
}

fn explain_all(flags: &[String], lines: &[u8]) -> Output {
    let mut arguments = vec!["explain", "--requests", "-", "-o", "json"];
    arguments.extend(flags.iter().map(String::as_str));
    let mut command = peerway(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_whole_case_table_of_confirmed_servers_is_decided_as_in_the_filter() {
    let table = table();
    let mut seen = 0;
    for (name, plane) in &table.planes {
        let Some(flags) = flags(plane) else { continue };
        // One run has one `Accept`.
        let mut by_accept: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
        for case in table.cases.iter().filter(|case| case.plane == *name) {
            by_accept.entry(&case.accept).or_default().push(case);
        }
        for (accept, cases) in by_accept {
            let flags: Vec<_> =
                flags.iter().cloned().chain([format!("--accept={accept}")]).collect();
            seen += all_are_decided_as_told(name, &flags, &cases);
        }
    }
    assert!(seen > 25, "only {seen} cases were looked at");
}

fn all_are_decided_as_told(plane: &str, flags: &[String], cases: &[&Case]) -> usize {
    let request = |case: &&Case| json!({"method": "GET", "target": case.target}).to_string();
    let lines: Vec<_> = cases.iter().map(request).collect();
    let output = explain_all(flags, lines.join("\n").as_bytes());
    assert!(output.status.success(), "{plane}: {}", said(&output));
    let explained = String::from_utf8(output.stdout).unwrap();
    assert_eq!(explained.lines().count(), cases.len(), "{plane}");
    for (case, line) in cases.iter().zip(explained.lines()) {
        let explained: Value = serde_json::from_str(line).unwrap();
        let expected = json!({
            "action": case.decision, "servers": case.order,
            "reason": case.reason, "stamp": case.stamp,
        });
        assert_eq!(explained["decision"], expected, "{plane}: {}", case.target);
    }
    cases.len()
}

#[test]
fn without_servers_there_is_the_reading_and_no_decision() {
    let explained =
        json_of(&["explain", "GET", "/apis/apps/v1/namespaces/d/deployments/web%2Fscale?watch=1"]);
    let expected = json!({
        "method": "GET", "target": "/apis/apps/v1/namespaces/d/deployments/web%2Fscale?watch=1",
        "request": {
            "kind": "resource", "apiPrefix": "apis", "group": "apps", "version": "v1",
            "namespace": "d", "resource": "deployments", "subresource": "scale", "name": "web",
            "verb": "get", "decodedPath": "/apis/apps/v1/namespaces/d/deployments/web/scale",
        },
    });
    assert_eq!(explained, expected);
}

#[test]
fn every_kind_of_request_is_named() {
    for (method, target, kind) in [
        ("GET", "/api/v1/pods", "resource"),
        ("GET", "/api/v1", "nonresource"),
        ("GET", "/api/v1/watch", "error"),
        ("GET", "/api/v1/pods/%zz", "bad-request"),
        ("G T", "/", "bad-request"),
    ] {
        assert_eq!(json_of(&["explain", method, target])["request"]["kind"], kind, "{target}");
    }
}

#[test]
fn the_first_accept_line_is_negotiated() {
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let nopeer = format!("{aggregated};profile=nopeer");
    let found = |arguments: &[&str]| {
        let found = json_of(&[&["explain", "GET"], arguments].concat());
        found["negotiation"].clone()
    };
    let expected = json!({"result": "aggregated", "status": 200, "contentType": aggregated,
        "format": "json", "profile": "nopeer"});
    assert_eq!(found(&["/apis", "--accept", &nopeer, "--accept", "text/html"]), expected);
    let refused = json!({"result": "not-acceptable", "status": 406,
        "contentType": "application/json", "format": "", "profile": ""});
    assert_eq!(found(&["/apis", "--accept", "text/html", "--accept", &nopeer]), refused);
    let plain = json!({"result": "legacy", "status": 200, "contentType": "application/yaml",
        "format": "yaml", "profile": ""});
    assert_eq!(found(&["/apis/apps", "--accept", "application/yaml"]), plain);
    assert_eq!(found(&["/apis", "--accept", aggregated, "--as-version", "1.28"]), refused);
    assert_eq!(found(&["/api/v1/pods", "--accept", aggregated]), Value::Null);
}

#[test]
fn people_are_told_who_lists_it_and_where_it_goes() {
    let flags = servers(&["1.36.3", "1.36.3", "1.37.2"]);
    let target = "/apis/storage.k8s.io/v1/csinodes/n/status";
    let mut arguments = vec!["explain", "PUT", target];
    arguments.extend(flags.iter().map(String::as_str));
    let expected = "\
PUT /apis/storage.k8s.io/v1/csinodes/n/status
  read as      a resource
  verb         update
  group        storage.k8s.io
  version      v1
  resource     csinodes
  name         n
  subresource  status
  path         /apis/storage.k8s.io/v1/csinodes/n/status
  listed by    cp-3, and not by cp-1, cp-2
  decision     peers: asks cp-3, then cp-1, then cp-2
  reason       listed-by-some: not every server lists it; those that do come first
  stamp        the server is told not to look further itself
";
    assert_eq!(printed(&arguments), expected);
}

#[test]
fn a_broken_line_is_named_after_what_came_before_it() {
    let good = r#"{"method":"GET","target":"/api/v1/pods"}"#;
    for (bad, complaint) in [
        ("x", "line 3: expected value"),
        (r#"{"method":"GET"}"#, "line 3: missing field `target`"),
        (r#"{"method":1,"target":"/"}"#, "line 3: invalid type"),
    ] {
        let output = explain_all(&[], format!("{good}\n\n{bad}\n{good}\n").as_bytes());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert!(said(&output).contains(complaint), "{}", said(&output));
    }
    assert!(explain_all(&[], b"{\"method\":\"GET\",\"target\":\"\xff\"}").status.code() == Some(1));
    assert!(explain_all(&[], b"").status.success());
}

#[test]
fn wrong_usage_is_refused() {
    refuses(&["explain"], 2, &["<METHOD>", "<TARGET>"]);
    refuses(&["explain", "GET"], 2, &["<TARGET>"]);
    refuses(&["explain", "GET", "/", "--requests", "x"], 2, &["--requests"]);
    refuses(&["explain", "GET", "/", "--as-version", "2"], 2, &["1.36"]);
    refuses(&["explain", "GET", "/", "--server", "a"], 2, &["NAME=DIR"]);
    refuses(&["explain", "GET", "/", "--server", "a=b", "--map", "http://x"], 2, &["--map"]);
    refuses(&["explain", "--requests", "no/such/file"], 1, &["no/such/file"]);
}
