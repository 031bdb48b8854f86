//! What is read from a control-plane file, what is refused, and that all of it is documented.

use super::*;

const EXAMPLE: &str = include_str!("../../examples/control-plane.yaml");
const DOCUMENTATION: &str = include_str!("../../../docs/configuration.md");

/// Everything that is required and nothing else.
const SHORTEST: &str = r"
version: v1alpha1
listen: {address: '0.0.0.0:6443', certificate: tls.crt, key: tls.key}
servers: [{name: cp-1, address: '10.0.0.11:6443'}]
serversTls: {ca: ca.crt}
fetcher: {tokenFile: token}
wasm: peerway.wasm
";

/// The problems of [`SHORTEST`] with `from` replaced by `to`.
fn problems(from: &str, to: &str) -> Vec<String> {
    assert!(SHORTEST.contains(from), "{from}");
    match ControlPlane::from_yaml(&SHORTEST.replace(from, to)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let shortest = ControlPlane::from_yaml(SHORTEST).unwrap();
    assert_eq!(shortest.servers_tls.name, ServerName::Dns("kubernetes.default.svc".into()));
    assert_eq!(shortest.fetcher.listen.to_string(), "127.0.0.1:15190");
    assert_eq!(shortest.fetcher.poll_interval, Millis(1_000));
    assert_eq!(shortest.fetcher.probe_timeout, Millis(1_000));
    assert_eq!(shortest.fetcher.discovery_timeout, Millis(10_000));
    assert_eq!(shortest.stale_after, Millis(10_000));
    assert_eq!(shortest.startup_wait, Millis(30_000));
    assert_eq!(shortest.connect_timeout, Millis(1_000));
    assert_eq!((shortest.admin, shortest.access_log, shortest.debug), (None, None, false));
}

#[test]
fn the_age_limit_follows_the_poll_interval() {
    let slow = SHORTEST.replace("tokenFile: token", "tokenFile: token, pollInterval: 3s");
    assert_eq!(ControlPlane::from_yaml(&slow).unwrap().stale_after, Millis(30_000));
}

#[test]
fn a_client_certificate_can_be_the_credential() {
    let file = SHORTEST.replace("tokenFile: token", "clientCertificate: {certificate: c, key: k}");
    let pair = KeyPair { certificate: "./c".into(), key: "./k".into() };
    let credential = ControlPlane::from_yaml(&file).unwrap().fetcher.credential;
    assert_eq!(credential, Credential::ClientCertificate(pair));
}

#[test]
fn every_problem_is_named_at_once_with_its_place() {
    let wrong = r#"
version: v2
listen: {address: 'localhost:6443', certificate: "", key: 5}
servers:
- {name: cp-1, address: '10.0.0.11:6443'}
- {name: cp-1, address: '10.0.0.11:6443', zone: b}
- {name: 'a b', address: '0.0.0.0:6443'}
- cp-4
serversTls: {serverName: '*.example'}
fetcher:
  tokenFile: token
  clientCertificate: {certificate: c}
  listen: 10.0.0.5:15190
  pollInterval: 1ms
  probeTimeout: 1
  discoveryTimeout: 1h
staleAfter: 1s
startupWait: 11m
connectTimeout: 0s
admin: 0.0.0.0:9901
accessLog: "a\nb"
debug: "yes"
extra: 1
"#;
    let expected = [
        r#"version: "v2" is not known, v1alpha1 is"#,
        r#"listen.address: "localhost:6443" is not ip:port, such as 10.0.0.11:6443 or [fd00::1]:6443"#,
        "listen.certificate: empty: a path is needed",
        "listen.key: the number 5 (quotes make it text) instead of text",
        r#"servers[3]: the text "cp-4" instead of fields"#,
        "servers[1].zone: unknown, known here: name, address",
        r#"servers[2].name: "a b" is not 1 to 63 letters, digits, '-', '.' or '_'"#,
        r#"servers[2].address: "0.0.0.0:6443" is where servers listen, not where one can be reached"#,
        r#"servers[1].name: "cp-1" is the name of servers[0]"#,
        "servers[1].address: 10.0.0.11:6443 is the address of servers[0]",
        "serversTls.ca: missing",
        r#"serversTls.serverName: "*.example" is neither a DNS name nor an IP address"#,
        "fetcher: both tokenFile and clientCertificate: only one is possible",
        "fetcher.clientCertificate.key: missing",
        r#"fetcher.listen: "10.0.0.5:15190" is not a loopback address: whoever reaches it needs no credentials"#,
        r#"fetcher.pollInterval: "1ms" is out of bounds, 100ms to 1m are possible"#,
        "fetcher.probeTimeout: \"1\" is not a duration, such as 250ms, 1s or 2m",
        r#"fetcher.discoveryTimeout: "1h" is not a duration, such as 250ms, 1s or 2m"#,
        r#"staleAfter: "1s" is out of bounds, 2s to 60m are possible"#,
        r#"startupWait: "11m" is out of bounds, 0s to 10m are possible"#,
        r#"connectTimeout: "0s" is out of bounds, 10ms to 1m are possible"#,
        "wasm: missing",
        r#"admin: "0.0.0.0:9901" is not a loopback address: whoever reaches it needs no credentials"#,
        r#"accessLog: "a\nb" has a control character in it"#,
        r#"debug: the text "yes" instead of true or false"#,
        "extra: unknown, known here: version, listen, frontProxy, servers, serversTls, fetcher, \
         staleAfter, startupWait, connectTimeout, affinity, wasm, admin, accessLog, debug",
    ];
    let problems = ControlPlane::from_yaml(wrong).unwrap_err().to_string();
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_missing_or_mistaken_section_is_one_problem() {
    assert_eq!(problems("serversTls: {ca: ca.crt}", ""), ["serversTls: missing"]);
    assert_eq!(problems("{ca: ca.crt}", "[]"), ["serversTls: a list instead of fields"]);
    let servers = "[{name: cp-1, address: '10.0.0.11:6443'}]";
    assert_eq!(problems(servers, "{}"), ["servers: a mapping instead of a list"]);
    assert_eq!(problems(servers, "[]"), ["servers: 0 of them, 1 to 64 are possible"]);
}

#[test]
fn one_credential_is_needed() {
    let neither = "fetcher: neither tokenFile nor clientCertificate: one is needed";
    assert_eq!(problems("tokenFile: token", ""), [neither]);
}

#[test]
fn more_servers_than_a_map_can_hold_are_refused() {
    let server = |n: usize| format!("{{name: cp-{n}, address: '10.0.1.{n}:6443'}}");
    let of = |count| (1..=count).map(server).collect::<Vec<_>>().join(", ");
    let one = "{name: cp-1, address: '10.0.0.11:6443'}";
    assert_eq!(problems(one, &of(64)), Vec::<String>::new());
    assert_eq!(problems(one, &of(65)), ["servers: 65 of them, 1 to 64 are possible"]);
}

#[test]
fn listeners_and_servers_do_not_share_a_port() {
    let admin = "wasm: peerway.wasm\nadmin: ";
    let taken = |port| problems("wasm: peerway.wasm", &format!("{admin}127.0.0.1:{port}"));
    assert_eq!(taken(6443), ["admin: 127.0.0.1:6443 has the port of listen.address"]);
    assert_eq!(taken(15190), ["admin: 127.0.0.1:15190 has the port of fetcher.listen"]);
    assert_eq!(taken(9901), Vec::<String>::new());
    let server = |address| problems("'10.0.0.11:6443'", address);
    let loops = "servers[0].address: 127.0.0.1:6443 is listen.address, not a server behind it";
    assert_eq!(server("'127.0.0.1:6443'"), [loops]);
    assert_eq!(server("'127.0.0.1:7001'"), Vec::<String>::new());
}

#[test]
fn what_is_no_control_plane_file_is_refused() {
    for file in ["", "- a", "version: [", "a: 1\na: 2", "v1alpha1"] {
        let problems = ControlPlane::from_yaml(file).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{file:?}: {problems}");
    }
    let twice = problems("wasm: peerway.wasm", "wasm: a\nwasm: b");
    assert!(twice.len() == 1 && twice[0].contains("duplicate"), "{twice:?}");
}

#[test]
fn client_certificates_and_the_front_proxy_go_together() {
    let example = include_str!("../../examples/control-plane.yaml");
    let without = |from: &str, to: &str| {
        let (before, rest) = example.split_once(from).unwrap();
        let (_, after) = rest.split_once(to).unwrap();
        ControlPlane::from_yaml(&format!("{before}{to}{after}")).unwrap_err().to_string()
    };
    assert!(without("  clientCa:", "\n").contains("listen.clientCa: missing"));
    assert!(without("frontProxy:", "# Every").contains("frontProxy: missing"));
}

#[test]
fn every_field_is_documented_and_no_other() {
    // One file cannot have both credentials.
    let certificate = EXAMPLE.replace(
        "tokenFile: /var/run/secrets/peerway/token",
        "clientCertificate: {certificate: a, key: b}",
    );
    let reading = Reading::default();
    for file in [EXAMPLE, &certificate] {
        let read = Section::of_file(file, &reading).and_then(ControlPlane::read);
        assert!(read.is_some(), "{}", reading.into_problems());
    }
    let documented = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("### `"));
    let documented = documented.map(|line| line.trim_end_matches('`').to_owned());
    assert_eq!(reading.asked(), documented.collect());
}
