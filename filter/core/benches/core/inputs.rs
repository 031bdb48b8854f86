//! Inputs of any size: servers, request paths, maps, discovery documents.

use peerway_core::servers::{Server, ServerSet};
use peerway_core::serving_map::Rows;

/// Paths as clients send them.
pub(crate) const PATHS: [(&str, &str); 3] = [
    ("list", "/apis/apps/v1/deployments?limit=500"),
    ("get", "/apis/apps/v1/namespaces/default/deployments/web"),
    ("escaped", "/apis/apps%2Fv1/namespaces/default/deployments/web"),
];

/// So many servers.
pub(crate) fn servers(count: usize) -> Vec<Server> {
    let server = |at| Server { name: format!("cp-{at}"), address: format!("10.0.0.{at}:6443") };
    (0..count).map(server).collect()
}

/// A map in which all servers list `resources` resources, `apps/v1/deployments` among them.
pub(crate) fn rows(servers: usize, resources: usize) -> Rows {
    let all = ServerSet::first(servers);
    let name = |at| (format!("group{:03}.example.com/v1/resources{at:05}/", at % 300), all);
    let mut apis: Vec<_> = (1..resources).map(name).collect();
    apis.push(("apps/v1/deployments/".to_owned(), all));
    apis.sort_by(|(left, _), (right, _)| left.cmp(right));
    Rows { confirmed: all, apis, ..Rows::default() }
}

/// `/apis` of so many servers, each a real one's with so many CRDs, and one that it has alone.
pub(crate) fn documents(servers: usize, crds: usize) -> Vec<Vec<u8>> {
    let document = |server| {
        let real = include_str!("../../testdata/discovery/1.36.3/apis.json").trim_end();
        let groups = real.strip_suffix("]}").unwrap_or(real);
        let shared = (0..crds).map(|number| crd(&format!("crd-{number}")));
        let own = crd(&format!("only-{server}"));
        let crds: String = shared.chain([own]).collect();
        format!("{groups}{crds}]}}").into_bytes()
    };
    (0..servers).map(document).collect()
}

/// A group with one CRD and its `status`, as a kube-apiserver lists it.
fn crd(name: &str) -> String {
    let kind = format!(r#"{{"group":"{name}.example.com","version":"v1","kind":"Widget"}}"#);
    format!(
        r#",{{"metadata":{{"name":"{name}.example.com","creationTimestamp":null}},"versions":[{{"version":"v1",
"resources":[{{"resource":"widgets","responseKind":{kind},"scope":"Namespaced","singularResource":"widget",
"verbs":["delete","deletecollection","get","list","patch","create","update","watch"],"shortNames":["w"],
"subresources":[{{"subresource":"status","responseKind":{kind},"verbs":["get","patch","update"]}}]}}],
"freshness":"Current"}}]}}"#
    )
}
