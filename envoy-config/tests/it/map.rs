//! `peerway map` against a loopback listener that answers as Peerway's and Envoy's admin do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use serde_json::{Value, json};

use crate::run::{json as json_of, peerway, printed, refuses};

fn map(generation: u64) -> Value {
    let server = |name: &str, state: &str, version: &str, more: &[&str], problem: &str| {
        let mut server = json!({
            "name": name, "address": format!("{name}:6443"), "state": state, "version": version,
            "probeAgeMs": 310, "documentAgeMs": 61_000, "apis": 240 + more.len(),
            "notEverywhere": more,
        });
        if !problem.is_empty() {
            server["problem"] = json!(problem);
        }
        server
    };
    json!({"generation": generation, "servers": [
        server("cp-1", "confirmed", "v1.36.3", &[], ""),
        server("cp-2", "gone", "v1.36.3", &[], "readyz: connection\u{1b}[31m refused"),
        server("cp-3", "confirmed", "v1.37.2",
            &["certificates.k8s.io/v1/clustertrustbundles/", "storage.k8s.io/v1/csinodes/status"],
            ""),
    ]})
}

const STATS: &str = "wasmcustom.peerway_requests_total;reason=listed-by-some: 12\n\
                     wasmcustom.peerway_witness_total;verdict=asked-next: 3\n";

/// Answers each connection with what `answer` makes of the number of those before and the path;
/// returns its URL.
fn listener(answer: impl Fn(u64, &str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (at, stream) in (0..).zip(listener.incoming()) {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let path = head.split(' ').nth(1).unwrap_or_default();
            let (status, body) = answer(at, path);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n");
            // The reader may have left, which is its right.
            let _ = write!(stream, "{head}connection: close\r\n\r\n{body}");
        }
    });
    url
}

fn peerway_listener() -> String {
    listener(|_, path| match path {
        "/map" => (200, map(7).to_string()),
        "/stats?filter=peerway_" => (200, STATS.to_owned()),
        _ => (404, "not here".to_owned()),
    })
}

#[test]
fn a_map_is_shown_with_states_ages_skew_problems_and_counts() {
    let url = peerway_listener();
    let text = printed(&["map", "--url", &url, "--admin", &url]);
    for line in [
        "Map 7: 3 servers, 2 confirmed; 2 APIs that not all have.",
        "SERVER  ADDRESS    VERSION  STATE      PROBED     READ       APIS  NOT ALL HAVE",
        "cp-3    cp-3:6443  v1.37.2  confirmed  0.3 s ago  1 min ago  242   2",
        "cp-2: readyz: connection\u{fffd}[31m refused",
        "certificates.k8s.io/v1/clustertrustbundles  cp-3",
        "storage.k8s.io/v1/csinodes/status           cp-3",
        "requests_total  listed-by-some  12",
        "witness_total   asked-next      3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn json_is_the_map_itself_with_the_counters() {
    let url = peerway_listener();
    let without_scheme = format!("{}/", url.trim_start_matches("http://"));
    for url in [&url, &without_scheme] {
        assert_eq!(json_of(&["map", "--url", url]), map(7));
    }
    let mut expected = map(7);
    expected["counters"] = json!({
        "requests_total": {"listed-by-some": 12},
        "witness_total": {"asked-next": 3},
    });
    assert_eq!(json_of(&["map", "--url", &url, "--admin", &url]), expected);
}

#[test]
fn watching_shows_the_next_map_and_outlasts_a_failure() {
    let url = listener(|at, _| match at {
        1 => (503, String::new()),
        at => (200, map(at).to_string()),
    });
    let mut child = peerway(&["map", "--watch", "-o", "json", "--url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen: Vec<Value> =
        lines.take(2).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(seen, [map(0), map(2)]);
    assert!(complaint.contains("503"), "{complaint}");
}

#[test]
fn who_does_not_answer_as_peerway_is_named() {
    let nowhere = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    refuses(&["map", "--url", &nowhere], 1, &[&nowhere, "refused", "--url"]);
    let other = listener(|_, _| (200, "<html>".to_owned()));
    refuses(&["map", "--url", &other], 1, &[&other, "not the JSON of /map"]);
    let url = listener(|_, path| match path {
        "/map" => (200, map(7).to_string()),
        _ => (404, String::new()),
    });
    refuses(&["map", "--url", &url, "--admin", &url], 1, &["/stats", "404"]);
    refuses(&["map", "--url", "https://127.0.0.1:1"], 2, &["https://127.0.0.1:1", "--url"]);
}
