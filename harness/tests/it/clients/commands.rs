//! kubectl, each time with an empty cache.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use peerway_harness::kubeconfig::Kubeconfig;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Mixed, is_all, run};

/// Each is four runs of kubectl.
const LOOKS: usize = 40;
/// Each run has many threads.
const AT_A_TIME: usize = 2;
/// Resources that not every server has, or that etcd gives to all, and their kinds.
const RESOURCES: [(&str, &str); 5] = [
    ("clustertrustbundles.v1.certificates.k8s.io", "ClusterTrustBundle"),
    ("storageversionmigrations.v1.storagemigration.k8s.io", "StorageVersionMigration"),
    ("csidrivers.v1.storage.k8s.io", "CSIDriver"),
    ("widgets.v1.example.com", "Widget"),
    ("flunders.v1alpha1.wardle.example.com", "Flunder"),
];
/// Documents of discovery, their kinds, and what must be named in them.
const DISCOVERY: [(&str, &str, &[&str]); 8] = [
    ("/api", "APIVersions", &["v1"]),
    ("/api/v1", "APIResourceList", &["pods/exec", "configmaps"]),
    ("/apis", "APIGroupList", &["storagemigration.k8s.io/v1", "example.com/v1", "apps/v1"]),
    ("/apis/certificates.k8s.io", "APIGroup", &["certificates.k8s.io/v1"]),
    (
        "/apis/certificates.k8s.io/v1",
        "APIResourceList",
        &["clustertrustbundles", "podcertificaterequests/status", "certificatesigningrequests"],
    ),
    ("/apis/storage.k8s.io/v1", "APIResourceList", &["csidrivers", "csinodes/status"]),
    ("/apis/wardle.example.com/v1alpha1", "APIResourceList", &["flunders"]),
    ("/apis/example.com/v1", "APIResourceList", &["widgets", "widgets/status"]),
];

/// An error unless every run of kubectl finds all that there is.
pub(super) async fn see_all(mixed: &Mixed) -> Result<()> {
    let names = Arc::new(mixed.everything.apis.iter().filter_map(|api| name(api)).collect());
    let mut workers = JoinSet::new();
    for worker in 0..AT_A_TIME {
        let (names, kubeconfig) = (Arc::clone(&names), mixed.kubeconfig.clone());
        workers.spawn(async move {
            for at in (worker..LOOKS).step_by(AT_A_TIME) {
                look(&kubeconfig, &names, at)
                    .await
                    .with_context(|| format!("kubectl, look {at}"))?;
                document(&kubeconfig, at).await.with_context(|| format!("kubectl, look {at}"))?;
            }
            anyhow::Ok(())
        });
    }
    workers.join_all().await.into_iter().collect()
}

async fn look(kubeconfig: &Kubeconfig, names: &BTreeSet<String>, at: usize) -> Result<()> {
    let listed = run(kubeconfig, &["api-resources", "-o=name"]).await?;
    is_all(names, &listed.lines().map(str::to_owned).collect()).context("api-resources")?;
    let (resource, kind) = RESOURCES[at % RESOURCES.len()];
    run(kubeconfig, &["get", resource]).await?;
    let resource = resource.split('.').next().unwrap_or_default();
    let explained = run(kubeconfig, &["explain", resource]).await?;
    ensure!(explained.contains(kind) && explained.contains("FIELDS:"), "{explained}");
    Ok(())
}

async fn document(kubeconfig: &Kubeconfig, at: usize) -> Result<()> {
    let (path, kind, named) = DISCOVERY[at % DISCOVERY.len()];
    let text = run(kubeconfig, &["get", "--raw", path]).await?;
    let document: Value = serde_json::from_str(&text).context("no JSON")?;
    ensure!(document["kind"] == kind, "{path}: {text}");
    for name in named {
        ensure!(text.contains(&format!("\"{name}\"")), "{path} does not name {name}: {text}");
    }
    Ok(())
}

/// `resource.group` of a resource, as kubectl prints it; nothing for a subresource.
fn name(api: &str) -> Option<String> {
    match api.split('/').collect::<Vec<_>>()[..] {
        [_version, resource] => Some(resource.to_owned()),
        // `version/resource/subresource` of the core group has as many parts.
        [group, _version, resource] if group != "v1" => Some(format!("{resource}.{group}")),
        _ => None,
    }
}
