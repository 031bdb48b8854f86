//! `peerway rehearse` on real logs.

use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::run::{self, peerway, printed, refuses, said};

const AUDIT: &str = "testdata/logs/audit-1.36.3.log";
const ACCESS: &str = "testdata/logs/access.log";
const UPGRADE: [&str; 3] = ["1.36.3", "1.36.3", "1.37.2"];

/// The arguments of a rehearsal among servers of these versions.
fn with(versions: &[&str], log: &str, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["rehearse".to_owned(), log.to_owned()];
    arguments.extend(run::servers(versions));
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    arguments
}

fn json_of(versions: &[&str], log: &str, more: &[&str]) -> Value {
    let arguments = with(versions, log, more);
    run::json(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn text_of(versions: &[&str], log: &str) -> String {
    let arguments = with(versions, log, &[]);
    printed(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn refused(versions: &[&str], log: &str, code: i32, complaints: &[&str]) {
    let arguments = with(versions, log, &[]);
    refuses(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), code, complaints);
}

fn fed(arguments: &[String], input: &[u8]) -> std::process::Output {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut child = peerway(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that refuses its input may leave before it read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(run::root().join(name)).unwrap()
}

fn zipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Every number was counted by hand from the log: nine requests for what only 1.37 serves, of which
/// the `nobody` one was refused, two for group-version documents, and seven for merged documents.
#[test]
fn an_upgrade_is_rehearsed_from_a_real_audit_log() {
    let report = json_of(&UPGRADE, AUDIT, &[]);
    assert_eq!(report["requests"], 35);
    assert_eq!(report["skewed"], 17);
    assert_eq!((&report["recorded404"], &report["refused"]), (&json!(9), &json!(1)));
    let ways = &report["ways"];
    assert_eq!(ways["plain"]["false404"], json!({"expected": 6.0, "possible": 9}));
    assert_eq!(ways["plain"]["incompleteDiscovery"], json!({"expected": 4.67, "possible": 7}));
    assert_eq!(ways["builtIn"]["false404"], json!({"expected": 2.0, "possible": 3}));
    assert_eq!(ways["peerway"]["false404"], json!({"expected": 0.0, "possible": 0}));
    assert_eq!(ways["peerway"]["incompleteDiscovery"], json!({"expected": 0.0, "possible": 0}));

    let gc = "system:serviceaccount:kube-system:generic-garbage-collector";
    let clients = report["clients"].as_array().unwrap();
    let collector = clients.iter().find(|client| client["user"] == gc).unwrap();
    assert_eq!(collector["userAgent"], "kube-controller-manager/v1.37.2");
    assert_eq!(collector["sourceIPs"], json!(["127.0.0.1"]));
    assert_eq!(collector["ways"]["plain"]["false404"], json!({"expected": 2.0, "possible": 3}));

    let apis = report["apis"].as_array().unwrap();
    let status = apis.iter().find(|api| api["api"] == "storage.k8s.io/v1/csinodes/status").unwrap();
    assert_eq!(status["listedBy"], json!(["cp-3"]));
    assert_eq!(status["ways"]["builtIn"]["false404"]["possible"], 1, "a subresource");
}

#[test]
fn the_text_says_what_the_json_says() {
    let text = text_of(&UPGRADE, AUDIT);
    for line in [
        "35 requests, 17 of them for what cp-1, cp-2, cp-3 do not all have.",
        "plain balancer  about 6, at most 9  about 4.7, at most 7",
        "built-in proxy  about 2, at most 3  about 2, at most 3",
        "Peerway         none                none",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn an_access_log_of_peerway_is_rehearsed_too() {
    let report = json_of(&UPGRADE, ACCESS, &[]);
    assert_eq!(report["logs"][0]["format"], "access");
    assert_eq!((&report["requests"], &report["skewed"]), (&json!(19), &json!(10)));
    assert_eq!(report["clients"], json!([]));
    // What the log says that the filter decided is what the rehearsal says that it would have.
    let mut recorded = std::collections::BTreeMap::<String, u64>::new();
    for line in String::from_utf8(file(ACCESS)).unwrap().lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let reason = entry["reason"].as_str().unwrap_or("untouched").to_owned();
        *recorded.entry(reason).or_default() += 1;
    }
    assert_eq!(report["decisions"], serde_json::to_value(recorded).unwrap());
    assert!(text_of(&UPGRADE, ACCESS).contains("The log names no clients"));
}

#[test]
fn equal_servers_are_said_to_be_no_risk() {
    let report = json_of(&["1.36.3", "1.36.3"], AUDIT, &[]);
    assert_eq!((&report["skewed"], &report["apis"]), (&json!(0), &json!([])));
    assert!(text_of(&["1.36.3", "1.36.3"], AUDIT).contains("nothing would have gone wrong"));
}

#[test]
fn plain_zipped_and_piped_logs_give_the_same_report() {
    let expected = json_of(&UPGRADE, AUDIT, &[]);
    let arguments = with(&UPGRADE, "-", &["-o", "json"]);
    for input in [file(AUDIT), zipped(&file(AUDIT))] {
        let output = fed(&arguments, &input);
        let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["logs"][0]["log"] = json!(AUDIT);
        assert_eq!(report, expected);
    }
    // The same requests in another server's log are the same requests.
    let twice = json_of(&UPGRADE, AUDIT, &[AUDIT]);
    assert_eq!(twice["requests"], expected["requests"]);
    assert_eq!(twice["logs"].as_array().unwrap().len(), 2);
}

#[test]
fn broken_lines_are_counted_and_named_and_not_fatal() {
    let mut log = file(AUDIT);
    log.extend_from_slice(b"{\"kind\":\"Event\",\"apiVe\n");
    let output = fed(&with(&UPGRADE, "-", &["-o", "json"]), &log);
    assert!(output.status.success());
    assert!(said(&output).contains("-: 1 of 73 lines could not be read"), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["requests"], &report["logs"][0]["brokenLines"]), (&json!(35), &json!(1)));
    assert_eq!(report["logs"][0]["problems"][0]["line"], 73);
}

#[test]
fn what_is_no_log_is_refused_by_name() {
    refused(&UPGRADE, "Cargo.toml", 1, &["Cargo.toml: neither an audit log", "line 1: "]);
    refused(&UPGRADE, "no/such.log", 1, &["no/such.log: No such file"]);
    refused(&UPGRADE, "/dev/null", 1, &["/dev/null: empty"]);
    refused(&UPGRADE, "src", 1, &["src: ", "directory"]);
    let cut = zipped(&file(AUDIT).repeat(20));
    let output = fed(&with(&UPGRADE, "-", &[]), &cut[..cut.len() / 2]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && said(&output).contains("-: line "), "{}", said(&output));
}

#[test]
fn without_two_servers_there_is_nothing_to_rehearse() {
    refused(&["1.36.3"], AUDIT, 1, &["1 servers: a skew needs 2"]);
    refused(&["1.36.3", "9.99"], AUDIT, 1, &["9.99/api"]);
    refuses(&["rehearse"], 2, &["<LOG>"]);
    refuses(&["rehearse", AUDIT, "--server", "cp-1"], 2, &["cp-1", "NAME=DIR"]);
}
