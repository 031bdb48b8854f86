//! Servers that cost next to nothing, so that a balancer's own cost can be seen: listeners of one
//! Envoy that answer by themselves, over TLS and HTTP/2, what a kube-apiserver would.
//!
//! Each says that it is ready, has discovery documents (or none) with an `ETag`, knows or does not
//! know the API that is new, and answers everything else with an object of 1 kB.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use peerway_harness::envoy::Envoy;
use peerway_harness::pki::Pki;
use peerway_harness::process::free_port;
use serde_json::{Value, json};

/// What one of them is.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) name: &'static str,
    /// `/api` and `/apis`, aggregated. Without them discovery is answered 503, so that nobody knows
    /// what it lists.
    pub(crate) documents: Option<[Vec<u8>; 2]>,
    /// Whether it answers for [`NEW_API`], whatever its documents say.
    pub(crate) knows_the_new_api: bool,
}

/// All of them, in one process.
#[derive(Debug)]
pub(crate) struct FastServers {
    servers: Vec<(&'static str, SocketAddr)>,
    envoy: Envoy,
}

/// The path of an object that every server has.
pub(crate) const OLD_API: &str = "/apis/apps/v1/namespaces/default/deployments/web";
/// The path of an object that only servers with 1.37's APIs have.
pub(crate) const NEW_API: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles/web";
/// The header in which a server tells its name.
pub(crate) const ANSWERED_BY: &str = "x-answered-by";

impl FastServers {
    /// Starts them; they answer when this returns.
    pub(crate) async fn start(
        folder: &Path,
        pki: &Pki,
        descriptions: Vec<Description>,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).context("no folder for the fast servers")?;
        let (mut servers, mut listeners) = (Vec::new(), Vec::new());
        for description in descriptions {
            let port = free_port()?;
            let documents = match &description.documents {
                None => None,
                Some(documents) => {
                    let mut files = Vec::new();
                    for (document, root) in documents.iter().zip(["api", "apis"]) {
                        let file = folder.join(format!("{}-{root}.json", description.name));
                        std::fs::write(&file, document).context("cannot write a document")?;
                        files.push((format!("/{root}"), file));
                    }
                    Some(files)
                }
            };
            let routes = routes(&description, documents.unwrap_or_default());
            listeners.push(listener(description.name, port, pki, routes));
            servers.push((description.name, SocketAddr::from(([127, 0, 0, 1], port))));
        }
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let (ip, port) = (admin.ip().to_string(), admin.port());
        let envoy = json!({
            "admin": {"address": {"socket_address": {"address": ip, "port_value": port}}},
            "static_resources": {"listeners": listeners},
        });
        std::fs::write(folder.join("envoy.yaml"), envoy.to_string())
            .context("cannot write the fast servers' configuration")?;
        Ok(Self { servers, envoy: Envoy::start(folder, admin, 2).await? })
    }

    pub(crate) fn process(&mut self) -> u32 {
        self.envoy.process().id()
    }

    /// Name and address of these, as a balancer wants them.
    pub(crate) fn named(&self, names: &[&str]) -> Vec<(String, String)> {
        let wanted = self.servers.iter().filter(|(name, _)| names.contains(name));
        wanted.map(|(name, address)| ((*name).to_owned(), address.to_string())).collect()
    }
}

fn routes(server: &Description, documents: Vec<(String, std::path::PathBuf)>) -> Vec<Value> {
    let plain_text = "text/plain; charset=utf-8";
    let inline = |text: &str| json!({"inline_string": text});
    let mut routes = vec![
        answer(json!({"path": "/readyz"}), 200, plain_text, Some(inline("ok"))),
        answer(json!({"path": "/version"}), 200, JSON, Some(inline(VERSION))),
    ];
    for (path, file) in &documents {
        let known = json!({"name": "if-none-match", "string_match": {"exact": ETAG}});
        routes.push(answer(json!({"path": path, "headers": [known]}), 304, AGGREGATED, None));
        let body = json!({"filename": file});
        routes.push(answer(json!({"path": path}), 200, AGGREGATED, Some(body)));
    }
    for path in ["/api", "/apis"].into_iter().filter(|_| documents.is_empty()) {
        routes.push(answer(json!({"path": path}), 503, plain_text, Some(inline("not now"))));
    }
    if !server.knows_the_new_api {
        let path = json!({"path": NEW_API});
        routes.push(answer(path, 404, JSON, Some(inline(UNKNOWN_RESOURCE))));
    }
    routes.push(answer(json!({"prefix": "/"}), 200, JSON, Some(inline(&object()))));
    routes
}

fn answer(path: Value, status: u16, content_type: &str, body: Option<Value>) -> Value {
    let header = |key: &str, value: &str| {
        let action = "OVERWRITE_IF_EXISTS_OR_ADD";
        json!({"header": {"key": key, "value": value}, "append_action": action})
    };
    let mut response = json!({"status": status});
    if let (Some(fields), Some(body)) = (response.as_object_mut(), body) {
        fields.insert("body".to_owned(), body);
    }
    let mut headers = vec![
        header("content-type", content_type),
        header("audit-id", "2f1a7c9e-5b61-4b0c-9a52-0d2b7f1c6a11"),
        header("cache-control", "no-cache, private"),
        header("x-kubernetes-pf-flowschema-uid", "0f4c2d34-8f0f-4f5e-9d5b-6a1c9e7b2d10"),
        header("x-kubernetes-pf-prioritylevel-uid", "7a0a2f0e-54a7-4a9c-8f3e-1d5c3b9f4e22"),
    ];
    if content_type == AGGREGATED {
        headers.push(header("etag", ETAG));
    }
    json!({"match": path, "direct_response": response, "response_headers_to_add": headers})
}

fn listener(name: &str, port: u16, pki: &Pki, routes: Vec<Value>) -> Value {
    let own = json!({"header": {"key": ANSWERED_BY, "value": name}});
    let manager = json!({
        "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "generate_request_id": false,
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{FILTERS}.http.router.v3.Router")},
        }],
        "route_config": {
            "max_direct_response_body_size_bytes": 32 << 20,
            "response_headers_to_add": [own],
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
        },
    });
    let (certificate, key) = (&pki.server.certificate, &pki.server.key);
    let pair = json!({
        "certificate_chain": {"filename": certificate},
        "private_key": {"filename": key},
    });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]},
    });
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{
            "transport_socket": {"name": "tls", "typed_config": tls},
            "filters": [{"name": "http", "typed_config": manager}],
        }],
    })
}

/// About as long as a small deployment.
fn object() -> String {
    let annotation = "x".repeat(OBJECT_BYTES);
    json!({
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "namespace": "default", "annotations": {"note": annotation}},
    })
    .to_string()
}

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
const OBJECT_BYTES: usize = 900;
const JSON: &str = "application/json";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const ETAG: &str = "\"B0A1\"";
const VERSION: &str = r#"{"major":"1","minor":"37","gitVersion":"v1.37.2"}"#;
/// Byte for byte what a kube-apiserver says.
const UNKNOWN_RESOURCE: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"the server could not find the requested resource","reason":"NotFound","#,
    r#""details":{},"code":404}"#,
    "\n"
);
