//! The fetcher's own identity, where it is a certificate.

use peerway_harness::balancer::Builder;
use peerway_harness::control_plane::ControlPlane;
use serde_json::{Value, json};

use crate::rig::no_vm_died;

#[tokio::test(flavor = "multi_thread")]
async fn a_fetcher_with_a_certificate_and_no_token_reads_every_server() {
    let plane = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2").start();
    let plane = plane.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fetcher = plane.pki().user_authority.client("peerway-fetcher", &[]).unwrap();
    let files = fetcher.write(folder.path(), "fetcher").unwrap();
    let pair = json!({"certificate": files.certificate, "key": files.key});
    let balancer = Builder::before(&plane)
        .fetcher_setting("tokenFile", Value::Null)
        .fetcher_setting("clientCertificate", pair);
    let mut balancer = balancer.start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}
