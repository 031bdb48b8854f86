//! The fetcher's own identity, where it is a certificate, and what it knows servers by.

use std::path::Path;

use peerway_harness::balancer::Builder;
use peerway_harness::control_plane::ControlPlane;
use peerway_harness::pki::{Authority, Identity};
use serde_json::{Value, json};

use crate::rig::no_vm_died;

#[tokio::test(flavor = "multi_thread")]
async fn a_fetcher_with_a_certificate_reads_every_server_and_a_rotated_volume_is_reread() {
    let plane = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2").start();
    let plane = plane.await.unwrap();
    let pki = plane.pki();
    // At first neither knows the other.
    let other = Authority::new("other-ca").unwrap();
    let unknown = other.client("peerway-fetcher", &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path();
    mount(volume, "..1", &other.pem(), &unknown);
    for file in FILES {
        std::os::unix::fs::symlink(Path::new("..data").join(file), volume.join(file)).unwrap();
    }
    let [ca, certificate, key] = FILES.map(|file| volume.join(file));
    let balancer = Builder::before(&plane)
        .setting("serversTls", json!({"ca": ca}))
        .fetcher_setting("tokenFile", Value::Null)
        .fetcher_setting("clientCertificate", json!({"certificate": certificate, "key": key}));
    let mut balancer = balancer.start().await.unwrap();
    let are_unread = |map: &Value| {
        let servers = map["servers"].as_array().into_iter().flatten();
        servers.clone().count() == 2 && servers.into_iter().all(|it| it["problem"].is_string())
    };
    balancer.wait_for_map("no server can be read", are_unread).await.unwrap();

    let serving_ca = std::fs::read_to_string(&pki.serving_ca).unwrap();
    // The servers are known, the fetcher is not yet.
    mount(volume, "..2", &serving_ca, &unknown);
    let are_refusing = |map: &Value| {
        let servers = map["servers"].as_array().into_iter().flatten();
        servers.into_iter().all(|it| it["problem"].as_str().is_some_and(|it| it.contains("401")))
    };
    balancer.wait_for_map("each server refuses the fetcher", are_refusing).await.unwrap();

    let known = pki.user_authority.client("peerway-fetcher", &[]).unwrap();
    mount(volume, "..3", &serving_ca, &known);
    balancer.all_confirmed().await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

/// As a kubelet writes a Secret's volume: everything in a folder of its own, to which the link
/// `..data` is turned by a rename.
fn mount(volume: &Path, version: &str, ca: &str, own: &Identity) {
    let folder = volume.join(version);
    std::fs::create_dir(&folder).unwrap();
    for (file, content) in FILES.iter().zip([ca, &own.certificate_pem, &own.key_pem]) {
        std::fs::write(folder.join(file), content).unwrap();
    }
    std::os::unix::fs::symlink(version, volume.join("..new")).unwrap();
    std::fs::rename(volume.join("..new"), volume.join("..data")).unwrap();
}
