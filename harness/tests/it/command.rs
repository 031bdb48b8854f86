//! The `peerway` command beside what it speaks of: a real kube-apiserver's audit log says what it took
//! each request for, and a real Peerway decides what `explain` says it does.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use peerway_core::request::{Target, decoded_path};
use peerway_core::request_info::{Kind, RequestInfo};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;
use peerway_testdata::table;
use serde_json::{Value, json};

/// Runs the command as people do, with something on its standard input.
pub(crate) fn peerway(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("cargo")
        .args(["run", "--quiet", "--package", "envoy-config", "--bin", "peerway", "--"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn told(output: &Output) -> Value {
    let words = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {words}"))
}

/// Some 700 targets, odd and plain: every way to begin a path with every way to go on.
fn odd_targets() -> Vec<String> {
    let heads = [
        "/api/v1",
        "/api/v1/watch",
        "/api/v1/proxy",
        "/apis/apps/v1",
        "/apis/apps%2Fv1",
        "/%61pis/apps/v1",
        "/apis/apps/watch",
        "//api/v1",
        "/api//v1",
        "/apis/no.such.group/v9",
        "/apis/apps/v1/watch",
        "/APIS/apps/v1",
        "/api",
        "/apis/apps",
        "/healthz",
        "/apis/apps/v1/proxy",
    ];
    let tails = [
        "",
        "/",
        "/pods",
        "/pods/",
        "/pods//",
        "//pods",
        "/pods/a",
        "/pods/a/log",
        "/pods/a/log/b/c",
        "/namespaces",
        "/namespaces/x",
        "/namespaces/x/",
        "/namespaces/x/status",
        "/namespaces/x/finalize",
        "/namespaces/x/pods",
        "/namespaces/x/pods/a",
        "/namespaces/x/pods/a/status",
        "/namespaces//pods",
        "/namespaces/x/watch/pods",
        "/namespaces/x/proxy/pods/a/b",
        "/watch/namespaces/x/pods",
        "/proxy/namespaces/x/pods/a",
        "/pods/%61%2Fb",
        "/pods/%252F",
        "/pods/..",
        "/./pods",
        "/pods/a%20b",
        "/namespaces/status",
        "/namespaces/x/finalize/y",
        "/deployments/d/scale",
        "/pods?watch=1",
        "/pods?watch=false",
        "/pods?watch",
        "/pods?watch=0&watch=1",
        "/pods?fieldSelector=metadata.name%3Da",
        "/pods?fieldSelector=metadata.name!%3Da",
        "/pods?fieldSelector=metadata.name%3Da,spec.nodeName%3Db&watch=true",
        "/pods?limit=abc&watch=yes",
        "/pods?labelSelector=a%3Db",
        "/pods/%zz",
        "/pods/%",
        "/pods?x=%zz&watch=1",
        "/pods?a;b&watch=1",
    ];
    heads.iter().flat_map(|head| tails.map(|tail| format!("{head}{tail}"))).collect()
}

/// What the audit log says of a request, in the words of `RequestInfo`.
fn audited(event: &Value) -> [String; 7] {
    let of = |field: &str| event["objectRef"][field].as_str().unwrap_or_default().to_owned();
    let verb = event["verb"].as_str().unwrap_or_default().to_owned();
    [
        verb,
        of("apiGroup"),
        of("apiVersion"),
        of("namespace"),
        of("resource"),
        of("subresource"),
        of("name"),
    ]
}

fn read(info: RequestInfo) -> [String; 7] {
    let RequestInfo { verb, group, version, namespace, resource, subresource, name, .. } = info;
    [verb, group, version, namespace, resource, subresource, name]
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_read_as_a_real_servers_audit_log_says_it_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, log) = (folder.path().join("policy.json"), folder.path().join("audit.log"));
    let rules = json!([{"level": "Metadata", "omitStages": ["RequestReceived"]}]);
    let text =
        json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}).to_string();
    std::fs::write(&policy, text).unwrap();
    let flags = [
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
        "--audit-log-mode=blocking".to_owned(),
    ];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let plane = ControlPlane::builder().server_with("a", "1.36.3", &flags).start().await.unwrap();
    let ca = std::fs::read_to_string(&plane.pki().serving_ca).unwrap();
    let address = plane.address("a").unwrap().parse().unwrap();
    let client = Client::new(address, &ca, Protocol::Http1).unwrap().with_token("who is that");

    // Nobody knows the token: each request is read and audited, and none is carried out.
    let mut compared = BTreeMap::from([("audited", 0), ("refused as it says", 0)]);
    let mut expected = Vec::new();
    for (at, target) in odd_targets().into_iter().enumerate() {
        let method = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"][at % 6];
        let mark = if target.contains('?') { "&" } else { "?" };
        let target = format!("{target}{mark}n={at}");
        let info = RequestInfo::of(method, target.as_bytes());
        let request = Request::new(method.parse().unwrap(), target.as_str());
        let status = client.raw(request).await.unwrap().status.as_u16();
        match info.kind {
            Kind::BadRequest => assert_eq!(status, 400, "{method} {target}"),
            Kind::Error => assert_eq!(status, 500, "{method} {target}"),
            Kind::Resource | Kind::NonResource => {
                assert_eq!(status, 401, "{method} {target}");
                expected.push((target, info));
                continue;
            }
        }
        *compared.entry("refused as it says").or_default() += 1;
    }
    let written = || -> BTreeMap<String, Value> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter_map(|event| Some((event["requestURI"].as_str()?.to_owned(), event))).collect()
    };
    let all = async || {
        let events = written();
        expected.iter().all(|(target, _)| events.contains_key(target))
    };
    wait_until("all is audited", Duration::from_secs(20), all).await.unwrap();
    let events = written();
    for (target, info) in expected {
        let event = &events[&target];
        assert_eq!(
            event["objectRef"].is_object(),
            info.kind == Kind::Resource,
            "{target}: {event}"
        );
        if info.kind == Kind::Resource {
            assert_eq!(read(info), audited(event), "{target}: {event}");
        }
        *compared.entry("audited").or_default() += 1;
    }
    assert!(compared["audited"] >= 300 && compared["refused as it says"] >= 10, "{compared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_of_live_servers_what_peerway_does_with_them() {
    let builder = ControlPlane::builder().server("a", "1.36.3").server("b", "1.36.3");
    let plane = builder.server("c", "1.37.2").start().await.unwrap();
    let balancer = Builder::before(&plane).patient().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let map = balancer.fetcher().unwrap();
    let map = format!("http://{}", map.address());

    explain_agrees(&balancer, &map).await;
    plane.kill("c").await.unwrap();
    balancer.server_is("c", "gone").await.unwrap();
    explain_agrees(&balancer, &map).await;
    plane.start("c").await.unwrap();

    let names = ["a", "b", "c"];
    let files = names.map(|name| plane.kubeconfig(name, ADMIN_TOKEN).unwrap());
    let servers: Vec<_> = names
        .iter()
        .zip(&files)
        .flat_map(|(name, file)| {
            ["--kubeconfig".to_owned(), format!("{name}={}", file.path().display())]
        })
        .collect();
    let with_servers = |args: &[&str]| {
        let args: Vec<_> = args.iter().copied().chain(servers.iter().map(String::as_str)).collect();
        peerway(&args, "")
    };
    let diff = with_servers(&["diff", "-o", "json"]);
    assert_eq!(diff.status.code(), Some(1), "there is skew");
    assert_eq!(told(&diff)["summary"]["atRisk"], 8, "what 1.37.2 has and 1.36.3 does not");
    let merged = told(&with_servers(&["merge", "--local", "a"])).to_string();
    assert!(merged.contains("storageversionmigrations") && merged.contains("deployments"));

    let shown = peerway(&["map", "--url", &map, "-o", "json"], "");
    assert_eq!(told(&shown)["servers"].as_array().map(Vec::len), Some(3));

    let log = balancer.access_log_file();
    let rehearsed = told(&with_servers(&["rehearse", log.to_str().unwrap(), "-o", "json"]));
    assert!(rehearsed["ways"]["plain"]["false404"]["possible"].as_u64() > Some(0), "{rehearsed}");
    assert_eq!(rehearsed["ways"]["peerway"]["false404"]["possible"], 0, "{rehearsed}");
    wrong_input_is_told(plane.folder());
}

/// The targets of the case table and some more: the reason that the filter gives is the one that
/// `explain` gives by the map of the same moment.
async fn explain_agrees(balancer: &Balancer, map: &str) {
    let mut targets: Vec<_> = table().cases.into_iter().map(|case| case.target).collect();
    targets.extend(odd_targets().into_iter().step_by(5));
    targets.retain(|target| !target.contains("/exec") && !target.contains("watch"));
    // The map for people has what servers list, not the documents in which they list it.
    targets.retain(|target| {
        let path = decoded_path(target.as_bytes()).unwrap_or_default();
        !matches!(Target::of(&path), Target::Discovery(..))
    });
    targets.sort();
    targets.dedup();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1).unwrap();
    let mut reasons = Vec::new();
    for target in &targets {
        let answer = client.raw(Request::get(target.as_str())).await.unwrap();
        reasons.push(answer.header("x-peerway-reason").map(str::to_owned));
    }
    let line = |target: &String| json!({"method": "GET", "target": target}).to_string() + "\n";
    let input: String = targets.iter().map(line).collect();
    let output = peerway(&["explain", "--requests", "-", "-o", "json", "--map", map], &input);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let explained: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(explained.len(), targets.len());
    for ((target, reason), explained) in targets.iter().zip(reasons).zip(explained) {
        assert_eq!(
            explained["decision"]["reason"].as_str(),
            reason.as_deref(),
            "{target}: {explained}"
        );
    }
}

fn wrong_input_is_told(folder: &Path) {
    let absent = folder.join("absent");
    let absent = absent.to_str().unwrap();
    for (args, code) in [
        (vec!["diff", "--server", "a=/"], 1),
        (vec!["explain", "GET", "/api", "--kubeconfig", absent], 1),
        (vec!["merge", "--control-plane", absent], 1),
        (vec!["map", "--url", "http://127.0.0.1:1"], 1),
        (vec!["rehearse", absent, "--server", "a=/"], 1),
        (vec!["explain"], 2),
        (vec!["no-such-verb"], 2),
    ] {
        let output = peerway(&args, "");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}
