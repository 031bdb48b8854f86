//! The ConfigMap in which all servers of a cluster say whom they believe.

use std::time::Duration;

use peerway_harness::control_plane::ControlPlane;
use peerway_harness::pki::Authority;
use peerway_harness::process::wait_until;
use serde_json::{Value, json};

use super::{Case, admin, set, told_of, with};
use crate::command::{peerway, told};

/// Where servers say together whom they believe.
const AUTHENTICATION: &str =
    "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

/// A minute, and what a busy machine needs.
const SHARED_WITHIN: Duration = Duration::from_secs(90);

/// Returns when each has written its part: they do when they start, where two may be in each other's way, and once a minute.
pub(super) async fn by_each_server(plane: &ControlPlane) {
    let authority = plane.pki().user_authority.pem();
    let have = async || {
        let shared = admin(plane).get(AUTHENTICATION).await;
        let Ok(data) = shared.and_then(|shared| Ok(shared.json()?["data"].clone())) else {
            return false;
        };
        let has =
            |field: &str, part: &str| data[field].as_str().is_some_and(|it| it.contains(part));
        has("requestheader-group-headers", "X-Forwarded-Groups")
            && has("client-ca-file", authority.trim())
    };
    wait_until("shared", SHARED_WITHIN, have).await.unwrap();
}

pub(super) async fn another_clusters_authority_is_told_by_more_than_its_name(
    plane: &ControlPlane,
    more: &[&str],
) {
    let folder = tempfile::tempdir().unwrap();
    let file = Case::of(plane, &["good"]).file(folder.path());
    let mut content = told_of(&file);
    let other = folder.path().join("other-user-ca.crt");
    let other_pem = Authority::new("user-ca").unwrap().pem();
    std::fs::write(&other, &other_pem).unwrap();
    content["listen"]["clientCa"] = json!(other);
    std::fs::write(&file, content.to_string()).unwrap();
    let output = peerway(&[&["preflight", &file, "-o", "json"], more].concat(), "");
    let report = told(&output);
    assert_eq!(with(&report, "failed"), set(["client-ca"]), "{report:#}");
    assert!(with(&report, "passed").contains("client-ca good"), "of the same name: {report:#}");

    let both = format!("{}{other_pem}", plane.pki().user_authority.pem());
    share(plane, json!({"client-ca-file": both})).await;
    let (code, report) = Case::of(plane, &["good"]).run(more);
    assert_eq!(code, 0, "{report:#}");
    assert!(with(&report, "warning").contains("client-ca"), "{report:#}");
}

/// As the fix says: servers add their names to those that are there, and take none away.
pub(super) async fn forget_header_names(plane: &ControlPlane) {
    plane.stop("wrong").await.unwrap();
    share(plane, json!({"requestheader-group-headers": r#"["X-Remote-Group"]"#})).await;
}

async fn share(plane: &ControlPlane, data: Value) {
    let answer = admin(plane).patch(AUTHENTICATION, &json!({"data": data})).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}
