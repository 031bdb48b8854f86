//! What is rendered: up to date, whole, safe whatever the names are, and in one language with the
//! module. That Envoy takes it and what it does with it is tested in the harness, with a real one.

use std::collections::BTreeSet;
use std::path::Path;

use envoy_config::{ControlPlane, Rendered, render};
use peerway_core::config::Config;
use peerway_core::edits;
use peerway_core::servers::Server;
use serde_yaml_ng::Value;

const EXAMPLE: &str = include_str!("../../examples/control-plane.yaml");
const TOKEN: &str = "tokenFile: /var/run/secrets/peerway/token";
const CERTIFICATE: &str = "clientCertificate: {certificate: /f/tls.crt, key: /f/tls.key}";

/// The example with changes, rendered.
fn rendered(changes: &[(&str, &str)]) -> Rendered {
    let mut file = EXAMPLE.to_owned();
    for (from, to) in changes {
        assert!(file.contains(from), "the example has no {from}");
        file = file.replace(from, to);
    }
    render(&ControlPlane::from_yaml(&file).unwrap())
}

/// `envoy.yaml` of the example with changes.
fn envoy(changes: &[(&str, &str)]) -> String {
    rendered(changes).file("envoy.yaml").unwrap().to_owned()
}

fn parsed(yaml: &str) -> Value {
    serde_yaml_ng::from_str(yaml).unwrap()
}

/// The value at the end of `path`, whose steps are fields, or `name`s of list entries.
fn at<'a>(mut value: &'a Value, path: &[&str]) -> &'a Value {
    for step in path {
        value = match value {
            Value::Sequence(items) => items.iter().find(|item| item["name"] == *step),
            other => other.get(*step),
        }
        .unwrap_or_else(|| panic!("no {step} of {path:?}"));
    }
    value
}

const HCM: [&str; 2] = ["filters", "hcm"];

fn listener<'a>(envoy: &'a Value, name: &str) -> &'a Value {
    let chains = at(envoy, &["static_resources", "listeners", name, "filter_chains"]);
    at(at(&chains[0], &HCM), &["typed_config"])
}

fn cluster<'a>(envoy: &'a Value, name: &str) -> &'a Value {
    at(envoy, &["static_resources", "clusters", name])
}

#[test]
fn the_committed_example_is_up_to_date() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy");
    let drifts = rendered(&[]).drift(&committed).unwrap();
    assert_eq!(drifts, [], "`make render` renders it again");
}

#[test]
fn every_name_in_the_templates_has_a_value() {
    let changes: [&[_]; 4] = [
        &[],
        &[(TOKEN, CERTIFICATE), ("debug: false", "debug: true")],
        &[("accessLog: stdout", "accessLog: /var/log/access.log")],
        &[("serverName: kubernetes.default.svc", "serverName: 10.0.0.1")],
    ];
    for changes in changes {
        for (name, contents) in rendered(changes).files() {
            assert!(!contents.contains("{{"), "{name} of {changes:?}");
            parsed(contents);
        }
    }
}

#[test]
fn a_path_stays_one_text_whatever_is_in_it() {
    let odd = r#"/o'dd "path": {{wasm}} # *a\b/ü, x"#;
    let quoted = serde_json::to_string(odd).unwrap();
    let rendered = rendered(&[
        ("/usr/lib/peerway/peerway.wasm", &quoted),
        ("/etc/kubernetes/pki/ca.crt", &quoted),
        ("/etc/peerway/tls/tls.key", &quoted),
        ("/var/run/secrets/peerway/token", &quoted),
        ("accessLog: stdout", &format!("accessLog: {quoted}")),
    ]);
    let file = |name| parsed(rendered.file(name).unwrap());
    let envoy = file("envoy.yaml");
    let hcm = listener(&envoy, "traffic");
    let router = at(hcm, &["http_filters", "router", "typed_config", "config"]);
    assert_eq!(at(router, &["vm_config", "code", "local", "filename"]), odd);
    assert_eq!(at(hcm, &["access_log", "access", "typed_config", "path"]), odd);
    let secret = |name| file(name)["resources"][0].clone();
    let path: [&[_]; 3] = [
        &["validation_context", "trusted_ca", "filename"],
        &["tls_certificate", "private_key", "filename"],
        &["generic_secret", "secret", "filename"],
    ];
    assert_eq!(at(&secret("servers.yaml"), path[0]), odd);
    assert_eq!(at(&secret("listener.yaml"), path[1]), odd);
    assert_eq!(at(&secret("fetcher.yaml"), path[2]), odd);
}

#[test]
fn the_module_takes_its_configurations() {
    let envoy = parsed(&envoy(&[("staleAfter: 10s", "staleAfter: 1m")]));
    let of = |filters: &Value, name: &str| {
        let config = at(filters, &[name, "typed_config", "config"]);
        // One VM for each role, and all of them share their data.
        assert_eq!(at(config, &["vm_config", "vm_id"]), "peerway");
        assert_eq!(at(config, &["vm_config", "configuration", "value"]), name);
        let json = at(config, &["configuration", "value"]).as_str().unwrap();
        Config::from_json(json.as_bytes()).unwrap()
    };
    let server = |n| Server { name: format!("cp-{n}"), address: format!("10.0.0.1{n}:6443") };
    let servers = vec![server(1), server(2), server(3)];
    let Config::Router(router) = of(&listener(&envoy, "traffic")["http_filters"], "router") else {
        panic!("not a router");
    };
    assert_eq!((router.servers, router.stale_after_ms), (servers.clone(), 60_000));
    let Config::Fetcher(fetcher) = of(&listener(&envoy, "fetcher")["http_filters"], "fetcher")
    else {
        panic!("not a fetcher");
    };
    assert_eq!(fetcher.servers, servers);
    assert_eq!((fetcher.cluster.as_str(), fetcher.poll_interval_ms), ("fetch", 1_000));
    assert_eq!(fetcher.authority, "kubernetes.default.svc");
    let witness = of(upstream_filters(&envoy, "direct_peers"), "witness");
    assert_eq!(witness, Config::Witness);
}

fn upstream_filters<'a>(envoy: &'a Value, name: &str) -> &'a Value {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    at(cluster(envoy, name), &["typed_extension_protocol_options", options, "http_filters"])
}

#[test]
fn routes_and_strips_know_the_headers_of_the_module() {
    let envoy = parsed(&envoy(&[]));
    let hcm = listener(&envoy, "traffic");
    let hosts = at(hcm, &["route_config", "virtual_hosts", "traffic"]);
    let routes = at(hosts, &["routes"]).as_sequence().unwrap();
    let of_route = |route: &Value| {
        let headers = route["match"]["headers"].as_sequence()?;
        let header = headers.iter().find(|header| header["name"] == edits::ROUTE)?;
        Some(header["string_match"]["exact"].as_str()?.to_owned())
    };
    let known: BTreeSet<_> = routes.iter().filter_map(of_route).collect();
    let spoken = [edits::route::PEERS, edits::route::PEERS_ONCE, edits::route::POOL_ONCE];
    assert_eq!(known, spoken.map(str::to_owned).into());
    let early = at(hcm, &["early_header_mutation_extensions", "strip", "typed_config"]);
    for header in [edits::ROUTE, edits::DESTINATIONS, edits::MAX_RETRIES, edits::PEER_PROXIED] {
        assert!(strips(&early["mutations"], header), "clients can send {header}");
    }
    let lanes = ["direct", "direct_http1", "identity", "identity_http1"];
    let lanes = lanes.iter().flat_map(|lane| [format!("{lane}_pool"), format!("{lane}_peers")]);
    for cluster in lanes.chain(["fetch".to_owned()]) {
        let cluster = cluster.as_str();
        let strip = at(upstream_filters(&envoy, cluster), &["strip", "typed_config", "mutations"]);
        for header in [edits::ROUTE, edits::DESTINATIONS, edits::MAX_RETRIES] {
            assert!(strips(&strip["request_mutations"], header), "{cluster} sends {header}");
        }
    }
}

fn strips(mutations: &Value, header: &str) -> bool {
    mutations.as_sequence().unwrap().iter().any(|mutation| {
        let prefix = mutation["remove_on_match"]["key_matcher"]["prefix"].as_str();
        mutation["remove"] == header || prefix.is_some_and(|prefix| header.starts_with(prefix))
    })
}

/// Whoever holds it may be anybody: only callers with a verified certificate ride on it.
#[test]
fn the_front_proxys_certificate_is_on_the_identity_lanes_only() {
    let carriers = |envoy: &Value| -> Vec<String> {
        let clusters = at(envoy, &["static_resources", "clusters"]).as_sequence().unwrap();
        let carries = |cluster: &&Value| {
            serde_yaml_ng::to_string(cluster).unwrap().contains("front_proxy.yaml")
        };
        let name = |cluster: &Value| cluster["name"].as_str().unwrap().to_owned();
        clusters.iter().filter(carries).map(name).collect()
    };
    let lanes = ["identity_pool", "identity_peers", "identity_http1_pool", "identity_http1_peers"];
    assert_eq!(carriers(&parsed(&envoy(&[]))), lanes);
    let without = envoy(WITHOUT_CERTIFICATES);
    assert_eq!(carriers(&parsed(&without)), [""; 0]);
    for trace in ["clients.yaml", "identity_pool", "FINGERPRINT"] {
        assert!(envoy(&[]).contains(trace) && !without.contains(trace), "{trace}");
    }
    // Never together: a certificate that nobody verified must not be anybody's.
    let unverified = "ACCEPT_UNTRUSTED";
    assert!(!envoy(&[]).contains(unverified) && without.contains(unverified));
}

const WITHOUT_CERTIFICATES: &[(&str, &str)] = &[
    ("  clientCa: /etc/kubernetes/pki/ca.crt\n", ""),
    ("frontProxy:\n", ""),
    ("  certificate: /etc/peerway/front-proxy/tls.crt\n", ""),
    ("  key: /etc/peerway/front-proxy/tls.key\n", ""),
];

/// Watches, exec sessions and logs -f may be silent for as long as they like.
#[test]
fn nothing_ends_a_stream_that_is_silent() {
    let envoy = parsed(&envoy(&[]));
    let hcm = listener(&envoy, "traffic");
    assert_eq!(hcm["stream_idle_timeout"], "0s");
    assert!(hcm.get("request_timeout").is_none());
    let host = at(hcm, &["route_config", "virtual_hosts", "traffic"]);
    for route in host["routes"].as_sequence().unwrap() {
        let action = &route["route"];
        assert_eq!(action["timeout"], "0s", "{}", route["name"].as_str().unwrap());
        assert!(action["retry_policy"].get("per_try_idle_timeout").is_none());
    }
    assert!(!serde_yaml_ng::to_string(&envoy).unwrap().contains("max_stream_duration"));
}

/// No request can end in a route or a cluster that is not there.
#[test]
fn every_lane_that_can_be_chosen_is_there() {
    for changes in [&[], WITHOUT_CERTIFICATES] {
        let envoy = parsed(&envoy(changes));
        let config = &listener(&envoy, "traffic")["route_config"];
        let chosen = serde_yaml_ng::to_string(&config["cluster_specifier_plugins"]).unwrap();
        let chosen: BTreeSet<_> =
            chosen.lines().filter_map(|line| line.trim().strip_prefix("cluster: ")).collect();
        assert!(chosen.len() >= 4, "{chosen:?}");
        for name in chosen {
            cluster(&envoy, name);
        }
        let host = at(config, &["virtual_hosts", "traffic"]);
        let routes = host["routes"].as_sequence().unwrap();
        assert!(routes.last().unwrap()["match"].get("headers").is_none(), "the last takes all");
        for route in routes.iter().filter(|route| route.get("direct_response").is_none()) {
            let of = route["route"]["cluster_specifier_plugin"].as_str().unwrap();
            assert!(["pool", "peers"].contains(&of));
        }
    }
}

/// The fetcher's credential is nobody else's: a client must never be taken for it.
#[test]
fn the_fetchers_credential_is_on_its_own_cluster_only() {
    for (credential, change) in [("token", TOKEN), ("certificate", CERTIFICATE)] {
        let envoy = parsed(&envoy(&[(TOKEN, change)]));
        let carries =
            |cluster: &Value| serde_yaml_ng::to_string(cluster).unwrap().contains("fetcher.yaml");
        let clusters = at(&envoy, &["static_resources", "clusters"]).as_sequence().unwrap();
        let carriers = clusters.iter().filter(|cluster| carries(cluster));
        let names: Vec<_> = carriers.map(|cluster| cluster["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["fetch"], "{credential}");
        let listeners = serde_yaml_ng::to_string(&envoy["static_resources"]["listeners"]).unwrap();
        assert!(!listeners.contains("cluster: fetch\n"), "{credential}: a route leads to it");
    }
}

#[test]
fn each_setting_makes_its_difference() {
    let without = |field: &str| envoy(&[(field, "")]);
    assert!(
        envoy(&[]).contains("\nadmin: ") && !without("admin: 127.0.0.1:9901").contains("\nadmin: ")
    );
    assert!(
        envoy(&[]).contains("StdoutAccessLog")
            && !without("accessLog: stdout").contains("access_log:")
    );
    let reason = "x-peerway-reason";
    assert!(
        !envoy(&[]).contains(reason) && envoy(&[("debug: false", "debug: true")]).contains(reason)
    );
    let settings = [
        ("connectTimeout: 1s", "connectTimeout: 250ms", "connect_timeout: 0.250s"),
        ("pollInterval: 1s", "pollInterval: 2s", "interval: 2.000s"),
        ("probeTimeout: 1s", "probeTimeout: 3s", "- timeout: 3.000s"),
        ("discoveryTimeout: 10s", "discoveryTimeout: 20s", r#""discoveryTimeoutMs": 20000"#),
        ("0.0.0.0:6443", "10.0.0.5:443", r#"{address: "10.0.0.5", port_value: 443}"#),
        ("127.0.0.1:15190", "'[::1]:15091'", r#"{address: "::1", port_value: 15091}"#),
        ("10.0.0.13:6443", "'[fd00::13]:6443'", r#""address": "[fd00::13]:6443""#),
        ("serverName: kubernetes.default.svc", "serverName: k8s.example", r#"sni: "k8s.example""#),
    ];
    for (from, to, expected) in settings {
        assert!(!envoy(&[]).contains(expected), "{expected} is there anyway");
        assert!(envoy(&[(from, to)]).contains(expected), "{to} makes no {expected}");
    }
}

#[test]
fn an_ip_address_as_server_name_is_verified_and_not_sent_as_sni() {
    let envoy = envoy(&[("serverName: kubernetes.default.svc", "serverName: 10.0.0.1")]);
    assert!(envoy.contains(r#"{san_type: IP_ADDRESS, matcher: {exact: "10.0.0.1"}}"#));
    assert!(!envoy.contains("sni:"));
}

#[test]
fn as_many_others_are_asked_as_there_are() {
    let retries = |envoy: &str| {
        let envoy = parsed(envoy);
        let hosts = at(listener(&envoy, "traffic"), &["route_config", "virtual_hosts", "traffic"]);
        at(hosts, &["routes", "pool", "route", "retry_policy", "num_retries"]).as_u64()
    };
    assert_eq!(retries(&envoy(&[])), Some(2));
    let cp_4 = "- name: cp-4\n  address: 10.0.0.14:6443\nserversTls:";
    assert_eq!(retries(&envoy(&[("serversTls:", cp_4)])), Some(3));
    let (two, three) =
        ("- name: cp-2\n  address: 10.0.0.12:6443\n", "- name: cp-3\n  address: 10.0.0.13:6443\n");
    assert_eq!(
        retries(&envoy(&[(two, ""), (three, "")])),
        Some(2),
        "a stream may be refused twice"
    );
}

#[test]
fn drift_is_found_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (rendered, place) = (rendered(&[]), directory.path());
    let drifts = |rendered: &Rendered| -> Vec<String> {
        rendered.drift(place).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(drifts(&rendered).len(), 6);
    rendered.write(place).unwrap();
    assert_eq!(drifts(&rendered), Vec::<String>::new());
    let written: BTreeSet<_> =
        std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(
        written,
        rendered.files().map(|(name, _)| name.into()).collect(),
        "nothing staged is left"
    );
    let token = place.join("fetcher.yaml");
    let changed = std::fs::read_to_string(&token).unwrap().replace("name: fetcher", "name: other");
    std::fs::write(&token, changed).unwrap();
    std::fs::remove_file(place.join("servers.yaml")).unwrap();
    let expected =
        "fetcher.yaml:5: differs\n  rendered:   name: fetcher\n  found:      name: other";
    assert_eq!(drifts(&rendered), ["servers.yaml: not there", expected]);
}
