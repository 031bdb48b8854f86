//! [`ControlPlane`] → the files of an Envoy configuration directory. Pure: the same in, the same out.
//!
//! What Envoy is told stands in `templates/`, each setting with its reason; here are only the values
//! that go into them.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::control_plane::{ControlPlane, Credential, KeyPair, Server};
use crate::lanes::{self, Lanes};
use crate::rendered::Rendered;
use crate::template::{fill, quoted};
use crate::values::{AccessLog, Affinity, ServerName};

/// The module's plugin configurations; what reads them is `peerway_core::config`.
#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum Plugin<'a> {
    Router {
        servers: Vec<PluginServer<'a>>,
        stale_after_ms: u64,
        affinity: &'a str,
        client_certificates: bool,
        startup_wait_ms: u64,
    },
    Fetcher {
        servers: Vec<PluginServer<'a>>,
        cluster: &'a str,
        authority: &'a str,
        poll_interval_ms: u64,
        probe_timeout_ms: u64,
        discovery_timeout_ms: u64,
    },
}

#[derive(Serialize)]
struct PluginServer<'a> {
    name: &'a str,
    address: String,
}

/// Renders the configuration directory of `control_plane`.
///
/// Envoy is to be started in that directory: `envoy.yaml` names the others relative to it.
pub fn render(control_plane: &ControlPlane) -> Rendered {
    let fetcher = match &control_plane.fetcher.credential {
        Credential::TokenFile(token) => {
            let token = quoted(token);
            fill(include_str!("../templates/secret_token.yaml"), &[("token", &token)])
        }
        Credential::ClientCertificate(pair) => certificate_secret("fetcher", pair),
    };
    let mut files = vec![
        ("envoy.yaml", envoy(control_plane)),
        ("listener.yaml", certificate_secret("listener", &control_plane.listen.pair)),
        ("servers.yaml", authority_secret("servers", &control_plane.servers_tls.ca)),
        ("fetcher.yaml", fetcher),
    ];
    if let Some((ca, front_proxy)) = control_plane.clients() {
        files.push(("clients.yaml", authority_secret("clients", ca)));
        files.push(("front_proxy.yaml", certificate_secret(lanes::FRONT_PROXY, front_proxy)));
    }
    Rendered::new(files)
}

fn envoy(control_plane: &ControlPlane) -> String {
    let ControlPlane { listen, fetcher, affinity, debug, .. } = control_plane;
    let admin = control_plane.admin.map_or_else(String::new, |address| {
        fill(include_str!("../templates/admin.yaml"), &[("admin", &socket(address))])
    });
    let (client_ca, client_certificate) = match control_plane.clients() {
        None => (include_str!("../templates/no_client_ca.yaml"), ""),
        Some(_) => (
            include_str!("../templates/client_ca.yaml"),
            include_str!("../templates/client_certificate.yaml"),
        ),
    };
    let debug = if *debug { include_str!("../templates/debug.yaml") } else { "" };
    let connection_number = match affinity {
        Affinity::Connection => include_str!("../templates/connection_number.yaml"),
        Affinity::None => "",
    };
    fill(
        include_str!("../templates/envoy.yaml"),
        &[
            ("admin", &admin),
            ("connection_number", connection_number),
            ("stats_tags", &stats_tags()),
            ("listen", &socket(listen.address)),
            ("local_replies", include_str!("../templates/local_replies.yaml")),
            ("access_log", &access_log(control_plane.access_log.as_ref())),
            ("wasm", &quoted(&control_plane.wasm)),
            ("router_plugin", &router_plugin(control_plane)),
            ("debug", debug),
            ("client_ca", client_ca),
            ("client_certificate", client_certificate),
            ("lane_choices", &lanes_of(control_plane).choices()),
            ("routes", &routes(control_plane)),
            ("fetcher_listen", &socket(fetcher.listen)),
            ("fetcher_plugin", &fetcher_plugin(control_plane)),
            ("clusters", &clusters(control_plane)),
        ],
    )
}

fn clusters(control_plane: &ControlPlane) -> String {
    let ControlPlane { fetcher, servers_tls, .. } = control_plane;
    let name = quoted(&authority(&servers_tls.name));
    let (san_type, sni) = match servers_tls.name {
        ServerName::Dns(_) => ("DNS", format!("sni: {name}")),
        // SNI cannot carry an address.
        ServerName::Ip(_) => ("IP_ADDRESS", String::new()),
    };
    let (fetch_tls, credential) = match fetcher.credential {
        Credential::TokenFile(_) => (
            "transport_socket: *server_tls".to_owned(),
            include_str!("../templates/fetch_token.yaml"),
        ),
        Credential::ClientCertificate(_) => {
            (lanes::upstream_tls("fetch", "h2", &sni, Some("fetcher")), "")
        }
    };
    let connect_timeout = control_plane.connect_timeout.for_envoy();
    let lb_policy = lb_policy(control_plane.affinity);
    fill(
        include_str!("../templates/clusters.yaml"),
        &[
            ("endpoints", &endpoints(&control_plane.servers)),
            ("lb_policy", lb_policy),
            ("connect_timeout", &connect_timeout),
            ("lanes", &lanes_of(control_plane).clusters(&connect_timeout, lb_policy, &sni)),
            ("poll_interval", &fetcher.poll_interval.for_envoy()),
            ("probe_timeout", &fetcher.probe_timeout.for_envoy()),
            ("server_name", &name),
            ("san_type", san_type),
            ("sni", &sni),
            ("fetch_tls", &fetch_tls),
            ("credential", credential),
            ("fetcher_listen", &socket(fetcher.listen)),
        ],
    )
}

fn lanes_of(control_plane: &ControlPlane) -> Lanes {
    if control_plane.clients().is_some() { Lanes::Identity } else { Lanes::Direct }
}

fn lb_policy(affinity: Affinity) -> &'static str {
    match affinity {
        Affinity::Connection => "MAGLEV",
        Affinity::None => "ROUND_ROBIN",
    }
}

fn routes(control_plane: &ControlPlane) -> String {
    let ControlPlane { servers, affinity, .. } = control_plane;
    let others = servers.len().saturating_sub(1).max(LEAST_RETRIES).to_string();
    let draws = (servers.len() * DRAWS_PER_SERVER).to_string();
    // Which server a connection is given is a hash of its number.
    let by_connection = match affinity {
        Affinity::Connection => "hash_policy: [{filter_state: {key: peerway.connection}}]",
        Affinity::None => "",
    };
    let not_taken = match control_plane.clients() {
        None => include_str!("../templates/no_client_ca_route.yaml"),
        Some(_) => "",
    };
    let values = [
        ("others", others.as_str()),
        ("draws", &draws),
        ("by_connection", by_connection),
        ("not_taken", not_taken),
    ];
    fill(include_str!("../templates/routes.yaml"), &values)
}

/// A server that closes connections at random refuses streams unseen. Two may do so to one request;
/// that three attempts in a row meet it is rarer than such a server's other mishaps.
const LEAST_RETRIES: usize = 2;

/// A draw of one in three misses the last server that was not asked yet 30 times in a row about once
/// in 200,000 requests.
const DRAWS_PER_SERVER: usize = 10;

fn endpoints(servers: &[Server]) -> String {
    let endpoint = |server: &Server| {
        let (address, name) = (socket(server.address), quoted(&server.name));
        format!("- {{endpoint: {{hostname: {name}, address: {{socket_address: {address}}}}}}}\n")
    };
    servers.iter().map(endpoint).collect()
}

fn certificate_secret(name: &str, pair: &KeyPair) -> String {
    let (certificate, key) = (quoted(&pair.certificate), quoted(&pair.key));
    let values = [("name", name), ("certificate", &certificate), ("key", &key)];
    fill(include_str!("../templates/secret_certificate.yaml"), &values)
}

fn authority_secret(name: &str, ca: &str) -> String {
    let values = [("name", name), ("ca", &quoted(ca))];
    fill(include_str!("../templates/secret_ca.yaml"), &values)
}

fn access_log(log: Option<&AccessLog>) -> String {
    let (sink, path) = match log {
        None => return String::new(),
        Some(AccessLog::Stdout) => ("stream.v3.StdoutAccessLog", String::new()),
        Some(AccessLog::File(path)) => ("file.v3.FileAccessLog", format!("path: {}", quoted(path))),
    };
    fill(include_str!("../templates/access_log.yaml"), &[("sink", sink), ("path", &path)])
}

/// Labels that the module gives its metrics.
const LABELS: [&str; 5] = ["reason", "verdict", "server", "standing", "outcome"];

fn stats_tags() -> String {
    let tag = |label: &str| {
        let regex = format!(r"^wasmcustom\.peerway_[a-z_]+(?:;[a-z_]+=[^;]*)*?(;{label}=([^;]+))");
        format!("- {{tag_name: {label}, regex: '{regex}'}}\n")
    };
    LABELS.map(tag).concat()
}

fn router_plugin(control_plane: &ControlPlane) -> String {
    json(&Plugin::Router {
        servers: plugin_servers(&control_plane.servers),
        stale_after_ms: control_plane.stale_after.0,
        affinity: control_plane.affinity.name(),
        client_certificates: control_plane.clients().is_some(),
        startup_wait_ms: control_plane.startup_wait.0,
    })
}

fn fetcher_plugin(control_plane: &ControlPlane) -> String {
    let fetcher = &control_plane.fetcher;
    json(&Plugin::Fetcher {
        servers: plugin_servers(&control_plane.servers),
        cluster: "fetch",
        authority: &authority(&control_plane.servers_tls.name),
        poll_interval_ms: fetcher.poll_interval.0,
        probe_timeout_ms: fetcher.probe_timeout.0,
        discovery_timeout_ms: fetcher.discovery_timeout.0,
    })
}

fn plugin_servers<'a>(servers: &'a [Server]) -> Vec<PluginServer<'a>> {
    let server = |server: &'a Server| PluginServer {
        name: &server.name,
        address: server.address.to_string(),
    };
    servers.iter().map(server).collect()
}

fn json(plugin: &Plugin<'_>) -> String {
    // Texts and numbers: there is nothing in a plugin that JSON cannot hold.
    serde_json::to_string_pretty(plugin).unwrap_or_default()
}

/// The server's name as an `:authority` or `Host`.
fn authority(name: &ServerName) -> String {
    match name {
        ServerName::Dns(name) => name.clone(),
        ServerName::Ip(IpAddr::V4(ip)) => ip.to_string(),
        ServerName::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
    }
}

fn socket(address: SocketAddr) -> String {
    let ip = quoted(&address.ip().to_string());
    format!("{{address: {ip}, port_value: {}}}", address.port())
}
