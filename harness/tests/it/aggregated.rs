//! An aggregated API: it lives in etcd, as a custom resource does, and is told from a built-in one by
//! its APIService.

use hyper::Method;
use peerway_harness::balancer::{Builder, workers_have_the_map};
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, AGGREGATED, ControlPlane, FETCHER_GROUP};
use peerway_harness::process::wait_until;
use peerway_harness::workload::direct;
use serde_json::json;

use crate::merged::aggregated;
use crate::rig::{SOON, no_vm_died};

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A right that Peerway can do without.
pub(crate) async fn let_the_fetcher_read_api_services(plane: &ControlPlane) {
    let name = json!({"name": "peerway:api-services"});
    let rule = json!({
        "apiGroups": ["apiregistration.k8s.io"], "resources": ["apiservices"], "verbs": ["list"],
    });
    let role = json!({"metadata": name, "rules": [rule]});
    plane.create(&format!("{RBAC}/clusterroles"), &role).await.unwrap();
    let api_group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": name,
        "roleRef": {"apiGroup": api_group, "kind": "ClusterRole", "name": "peerway:api-services"},
        "subjects": [{"apiGroup": api_group, "kind": "Group", "name": FETCHER_GROUP}],
    });
    plane.create(&format!("{RBAC}/clusterrolebindings"), &binding).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_deleted_does_not_come_back_with_a_gone_server() {
    let plane = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2");
    let plane = plane.start().await.unwrap();
    let_the_fetcher_read_api_services(&plane).await;
    let newest = plane.kubeconfig("new", ADMIN_TOKEN).unwrap();
    let _server = plane.aggregated_apiserver(&newest).await.unwrap();
    let is_listed = async || {
        for (name, _) in plane.servers() {
            let Ok(client) = direct(&plane, name, Protocol::Http2) else { return false };
            let answer = client.send(aggregated("/apis")).await;
            if !answer.is_ok_and(|it| it.text().contains("flunders")) {
                return false;
            }
        }
        true
    };
    wait_until("all servers list the aggregated API", SOON, is_listed).await.unwrap();
    let mut balancer = Builder::before(&plane).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let status = async || client.get(AGGREGATED).await.map(|it| it.status.as_u16()).ok();
    assert_eq!(status().await, Some(200));

    plane.kill("old").await.unwrap();
    balancer.server_is("old", "gone").await.unwrap();
    workers_have_the_map().await;
    assert_eq!(status().await, Some(200), "the other has it");
    for version in ["v1alpha1", "v1beta1"] {
        let path = format!("{API_SERVICES}/{version}.wardle.example.com");
        let answer = client.send(Request::new(Method::DELETE, path)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // What a built-in API would be answered now is 503, for as long as the other is away.
    let is_absent = async || status().await == Some(404);
    wait_until("it is absent", SOON, is_absent).await.unwrap();
    let is_left_out = async || {
        let answer = client.send(aggregated("/apis")).await.unwrap();
        answer.status == 200 && !answer.text().contains("wardle")
    };
    wait_until("discovery does not show it", SOON, is_left_out).await.unwrap();
    assert_eq!(status().await, Some(404));
    no_vm_died(&mut balancer).await.unwrap();
}
