//! `peerway preflight` on real servers: a good control plane is fit, and each way to be unfit is named,
//! at the server that has it. One server has several mistakes, since none hides another.

mod shared;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::{Method, StatusCode};
use peerway_harness::client::{Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, FETCHER_TOKEN, NOBODY_TOKEN};
use peerway_harness::pki::SERVER_NAMES;
use peerway_harness::process::{free_port, wait_until};
use peerway_harness::simulated::{Discovery, Fault, Matcher, Reply, Simulation};
use serde_json::{Value, json};

use crate::aggregated::let_the_fetcher_read_api_services;
use crate::command::{peerway, told};

/// A control-plane file and what preflight says of it.
struct Case<'a> {
    plane: &'a ControlPlane,
    servers: Vec<(&'a str, SocketAddr)>,
    token: &'a str,
    /// Certificate and key, where the file is to name a front-proxy certificate.
    front_proxy: Option<(PathBuf, PathBuf)>,
}

impl<'a> Case<'a> {
    fn of(plane: &'a ControlPlane, servers: &[&'a str]) -> Self {
        let address = |name: &&'a str| (*name, plane.address(name).unwrap().parse().unwrap());
        let pair = &plane.pki().front_proxy;
        Self {
            plane,
            servers: servers.iter().map(address).collect(),
            token: FETCHER_TOKEN,
            front_proxy: Some((pair.certificate.clone(), pair.key.clone())),
        }
    }

    fn with_front_proxy(mut self, (certificate, key): (PathBuf, PathBuf)) -> Self {
        self.front_proxy = Some((certificate, key));
        self
    }

    /// Writes the file, and gives its path.
    fn file(&self, folder: &Path) -> String {
        let pki = self.plane.pki();
        let [token, module] = ["token", "peerway.wasm"].map(|name| folder.join(name));
        std::fs::write(&token, self.token).unwrap();
        std::fs::write(&module, b"\0asm").unwrap();
        let server =
            |(name, address): &(&str, SocketAddr)| json!({"name": name, "address": address});
        let mut file = json!({
            "version": "v1alpha1",
            "listen": {"address": "127.0.0.1:1", "certificate": pki.server.certificate, "key": pki.server.key},
            "servers": self.servers.iter().map(server).collect::<Vec<_>>(),
            "serversTls": {"ca": pki.serving_ca},
            "fetcher": {"tokenFile": token},
            "wasm": module,
        });
        if let Some((certificate, key)) = &self.front_proxy {
            file["listen"]["clientCa"] = json!(pki.user_ca.certificate);
            file["frontProxy"] = json!({"certificate": certificate, "key": key});
        }
        let path = folder.join("control-plane.yaml");
        std::fs::write(&path, file.to_string()).unwrap();
        path.display().to_string()
    }

    /// Exit code and report.
    fn run(&self, more: &[&str]) -> (i32, Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = self.file(folder.path());
        let args: Vec<_> =
            ["preflight", &file, "-o", "json"].into_iter().chain(more.iter().copied()).collect();
        let output = peerway(&args, "");
        (output.status.code().unwrap(), told(&output))
    }
}

/// `check server` of all findings with this verdict; without a server the check alone.
fn with(report: &Value, verdict: &str) -> BTreeSet<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let found = findings.filter(|finding| finding["verdict"] == verdict).map(|finding| {
        let server = finding["server"].as_str().unwrap_or_default();
        format!("{} {server}", finding["check"].as_str().unwrap()).trim().to_owned()
    });
    found.collect()
}

fn set<const N: usize>(of: [&str; N]) -> BTreeSet<String> {
    of.map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_names_each_way_in_which_a_control_plane_is_unfit() {
    let folder = tempfile::tempdir().unwrap();
    let plane_folder = folder.path().join("plane");
    // Whom the front proxy's authority signed is a client here too, UIDs are not read, and another
    // header's groups are.
    let front_proxy_ca = plane_folder.join("pki/front-proxy-ca.crt");
    let wrong = [
        format!("--client-ca-file={}", front_proxy_ca.display()),
        "--requestheader-uid-headers=".to_owned(),
        "--requestheader-group-headers=X-Remote-Group,X-Forwarded-Groups".to_owned(),
        "--anonymous-auth=false".to_owned(),
    ];
    let plane = ControlPlane::builder()
        .in_folder(&plane_folder)
        .server("good", "1.37.2")
        .server_with("wrong", "1.37.2", &wrong.each_ref().map(String::as_str))
        .start()
        .await
        .unwrap();

    a_good_one_is_fit(&plane);
    files_that_envoy_cannot_use_are_named(&plane);
    what_is_not_configured_is_not_passed(&plane);
    each_server_has_its_own_mistakes(&plane).await;
    the_front_proxys_certificate_must_be_known(&plane, folder.path());
    the_fetcher_needs_its_rights(&plane).await;
    who_goes_past_the_balancer_is_named(&plane).await;
}

fn a_good_one_is_fit(plane: &ControlPlane) {
    let (code, report) = Case::of(plane, &["good"]).run(&[]);
    assert_eq!((code, &report["fit"]), (0, &json!(true)), "{report:#}");
    assert_eq!(with(&report, "failed"), set([]), "{report:#}");
    let expected = set([
        "anonymous good",
        "client-ca good",
        "clock good",
        "extra-header good",
        "fetcher good",
        "front-proxy good",
        "front-proxy-ca good",
        "group-header good",
        "guard-shapes good",
        "http2 good",
        "module",
        "not-known-words good",
        "own-credentials",
        "reachable good",
        "ready good",
        "serving-certificate good",
        "uid-header good",
        "version good",
        "version-skew",
    ]);
    assert_eq!(with(&report, "passed"), expected, "{report:#}");

    let folder = tempfile::tempdir().unwrap();
    let file = Case::of(plane, &["good"]).file(folder.path());
    let text = peerway(&["preflight", &file], "");
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("Fit: 0 failed"), "{text}");
    assert!(!text.contains('\u{1b}'), "no color where nobody sees it");
}

/// No server is blamed for them.
fn files_that_envoy_cannot_use_are_named(plane: &ControlPlane) {
    let folder = tempfile::tempdir().unwrap();
    let file = Case::of(plane, &["good"]).file(folder.path());
    let mut content = told_of(&file);
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\n").unwrap();
    content["listen"]["key"] = json!(plane.pki().front_proxy.key);
    content["frontProxy"]["key"] = json!(garbage);
    content["serversTls"]["ca"] = json!(garbage);
    content["listen"]["clientCa"] = json!(plane.pki().server.key);
    content["wasm"] = json!(folder.path().join("absent.wasm"));
    std::fs::write(&file, content.to_string()).unwrap();
    let output = peerway(&["preflight", &file, "-o", "json"], "");
    let report = told(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let failed: Vec<_> = report["findings"].as_array().unwrap().iter().collect();
    let failed = failed.into_iter().filter(|finding| finding["verdict"] == "failed");
    let failed: BTreeSet<_> =
        failed.map(|it| it["what"].as_str().unwrap().split(':').next().unwrap()).collect();
    let expected = ["frontProxy.key", "listen.clientCa", "listen.key", "serversTls.ca", "wasm"];
    assert_eq!(failed, expected.into());
    assert!(with(&report, "skipped").contains("reachable good"), "{report:#}");
}

fn told_of(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn what_is_not_configured_is_not_passed(plane: &ControlPlane) {
    let bare = Case { front_proxy: None, ..Case::of(plane, &["good"]) };
    let (code, report) = bare.run(&[]);
    assert_eq!(code, 0, "{report:#}");
    let skipped = with(&report, "skipped");
    assert!(skipped.is_superset(&set(["front-proxy", "client-ca"])), "{report:#}");
    assert!(!with(&report, "passed").contains("front-proxy-ca good"), "{report:#}");
}

async fn each_server_has_its_own_mistakes(plane: &ControlPlane) {
    let pki = plane.pki();
    let identity = pki.serving_authority.serving("simulated", &SERVER_NAMES).unwrap();
    let expired = pki.serving_authority.expired_serving("expired", &SERVER_NAMES).unwrap();
    let discovery = Discovery::of(&["/api/v1/pods", "/apis/apps/v1/deployments"]).unwrap();
    let strange = Simulation::new("strange", discovery.clone()).start(&identity).await.unwrap();
    let words =
        Reply::new(StatusCode::NOT_FOUND).body("text/plain; charset=utf-8", "no such thing\n");
    strange.set_fault(Matcher::prefix("/apis/apps/v0"), Fault::Reply(words));
    let expired = Simulation::new("expired", discovery).start(&expired).await.unwrap();
    let mut case = Case::of(plane, &["good", "wrong"]);
    case.servers.extend([
        ("strange", strange.address()),
        ("expired", expired.address()),
        ("absent", SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()))),
    ]);
    let (code, report) = case.run(&[]);
    assert_eq!((code, &report["fit"]), (1, &json!(false)), "{report:#}");
    let failed = with(&report, "failed");
    // A simulated server knows no callers, so more of it fails.
    let real: BTreeSet<_> =
        failed.iter().filter(|finding| !finding.ends_with("strange")).cloned().collect();
    let expected = [
        "anonymous",
        "client-ca wrong",
        "front-proxy-ca wrong",
        "reachable absent",
        "serving-certificate expired",
    ];
    assert_eq!(real, set(expected), "{report:#}");
    assert!(failed.contains("not-known-words strange"), "{report:#}");
    let warnings = with(&report, "warning");
    assert!(warnings.is_superset(&set(["anonymous wrong", "uid-header wrong"])), "{report:#}");
    let fixes = report["findings"].as_array().unwrap().iter();
    let mut without_fix = fixes.filter(|it| it["verdict"] == "failed" && it["fix"].is_null());
    assert!(without_fix.next().is_none(), "each failure says what to do");
}

fn the_front_proxys_certificate_must_be_known(plane: &ControlPlane, folder: &Path) {
    let pki = plane.pki();
    let stranger = pki.front_proxy_authority.client("stranger", &[]).unwrap();
    let from_elsewhere = pki.serving_authority.client("front-proxy-client", &[]).unwrap();
    let cases = [
        (stranger, "requestheader-allowed-names"),
        (from_elsewhere, "requestheader-client-ca-file"),
    ];
    for (identity, culprit) in cases {
        let files = identity.write(folder, culprit).unwrap();
        let case = Case::of(plane, &["good"]).with_front_proxy((files.certificate, files.key));
        let (code, report) = case.run(&[]);
        assert_eq!((code, with(&report, "failed")), (1, set(["front-proxy good"])), "{report:#}");
        let mut findings = report["findings"].as_array().unwrap().iter();
        let fix = findings.find(|it| it["verdict"] == "failed").unwrap()["fix"].to_string();
        assert!(fix.contains(culprit), "{fix}");
    }
}

async fn the_fetcher_needs_its_rights(plane: &ControlPlane) {
    let unknown = Case { token: "who is that", ..Case::of(plane, &["good"]) };
    let (code, report) = unknown.run(&[]);
    assert_eq!((code, with(&report, "failed")), (1, set(["fetcher good"])), "{report:#}");

    let has_api_services = |verdict| {
        let (code, report) = Case::of(plane, &["good"]).run(&[]);
        assert_eq!(code, 0, "{report:#}");
        with(&report, verdict).contains("api-services good")
    };
    assert!(has_api_services("warning"));
    let_the_fetcher_read_api_services(plane).await;
    let limit = Duration::from_secs(20);
    let is_allowed = async || has_api_services("passed");
    wait_until("the fetcher may list APIServices", limit, is_allowed).await.unwrap();

    let admin = admin(plane);
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let request = Request::new(Method::DELETE, format!("{bindings}/system:discovery"));
    assert_eq!(admin.raw(request).await.unwrap().status, 200);
    // The server may know it a little later.
    let nobody = plane.url("good").map(|_| NOBODY_TOKEN).unwrap();
    let client = client(plane, nobody);
    let is_forbidden =
        async || client.raw(Request::get("/apis")).await.is_ok_and(|answer| answer.status == 403);
    let what = "discovery is forbidden";
    wait_until(what, limit, is_forbidden).await.unwrap();
    let (code, report) = Case { token: NOBODY_TOKEN, ..Case::of(plane, &["good"]) }.run(&[]);
    assert_eq!((code, with(&report, "failed")), (1, set(["fetcher good"])), "{report:#}");
    let mut findings = report["findings"].as_array().unwrap().iter();
    let what = findings.find(|it| it["verdict"] == "failed").unwrap()["what"].as_str().unwrap();
    assert_eq!(what, "nobody may not get /api, /apis, /openapi/v3");
}

async fn who_goes_past_the_balancer_is_named(plane: &ControlPlane) {
    let address: SocketAddr = plane.address("good").unwrap().parse().unwrap();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        // Loopback addresses are not allowed there.
        "endpoints": [{"addresses": ["10.0.0.77"]}],
        "ports": [{"name": "https", "port": address.port()}],
    });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "kube-controller-manager"},
        "spec": {"holderIdentity": "cp-1_here"},
    });
    for (path, object) in [
        ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", lease),
    ] {
        let request = Request::new(Method::POST, path).json(&object);
        let answer = admin(plane).raw(request).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let (_, report) = Case::of(plane, &["good"]).run(&[]);
    let skipped = with(&report, "skipped");
    let unknown = set(["in-cluster-clients", "controllers", "front-proxy-names"]);
    assert!(skipped.is_superset(&unknown), "{report:#}");

    shared::by_each_server(plane).await;
    let kubeconfig = plane.kubeconfig("good", ADMIN_TOKEN).unwrap();
    let more = ["--kubeconfig", kubeconfig.path().to_str().unwrap()];
    let (code, report) = Case::of(plane, &["good"]).run(&more);
    assert_eq!((code, with(&report, "failed")), (1, set(["front-proxy-names"])), "{report:#}");
    let named = "X-Forwarded-Groups (--requestheader-group-headers)";
    assert!(report.to_string().contains(named), "{report:#}");

    shared::forget_header_names(plane).await;
    let (code, report) = Case::of(plane, &["good"]).run(&more);
    assert_eq!(code, 0, "to be known, and no reason not to go on: {report:#}");
    let passed = with(&report, "passed");
    assert!(passed.is_superset(&set(["front-proxy-names", "client-ca"])), "{report:#}");
    shared::another_clusters_authority_is_told_by_more_than_its_name(plane, &more).await;
    let known = with(&report, "warning");
    assert!(known.is_superset(&set(["in-cluster-clients", "controllers"])), "{report:#}");
    let text = report.to_string();
    assert!(text.contains("kube-controller-manager (cp-1_here)"), "{report:#}");
    assert!(text.contains(&format!("10.0.0.77:{}, not in the file", address.port())), "{report:#}");
}

fn admin(plane: &ControlPlane) -> Client {
    client(plane, ADMIN_TOKEN)
}

fn client(plane: &ControlPlane, token: &str) -> Client {
    let ca = std::fs::read_to_string(&plane.pki().serving_ca).unwrap();
    let address = plane.address("good").unwrap().parse().unwrap();
    Client::new(address, &ca, Protocol::Http1).unwrap().with_token(token)
}
