//! Certificates that are replaced in their files, and ones that expire, while watches go on.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Client, Lines, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, NOBODY_TOKEN};
use peerway_harness::pki::{Attribute, Authority, Identity, IdentityFiles, Pki, SERVER_NAMES, Tag};
use peerway_harness::process::wait_until;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use serde_json::{Value, json};

use super::REVIEWS;
use crate::rig::{SOON, no_vm_died};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_is_rotated_by_its_file_and_ends_when_it_ends_while_watches_go_on() {
    let plane = ControlPlane::builder().server("only", "1.37.2").start().await.unwrap();
    let pki = plane.pki();
    let mut balancer = Builder::before(&plane).identity(pki).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let trusted = std::fs::read_to_string(&pki.serving_ca).unwrap();
    let server = plane.address("only").unwrap().parse().unwrap();

    // One that ends soon, on connections that stay.
    let short = short_lived(pki).unwrap();
    let ending = [
        Client::with_certificate(server, &trusted, Protocol::Http2, &short).unwrap(),
        balancer.client_with(&short, Protocol::Http2).unwrap(),
    ];
    for client in &ending {
        assert_eq!(user(client, None).await.unwrap(), (201, "short".to_owned()));
    }
    let root = pki.user_authority.client("root", &["system:masters"]).unwrap();
    let clients = [
        balancer.client_with(&root, Protocol::Http2).unwrap(),
        balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap(),
        ending[1].clone(),
    ];
    let mut watches = Vec::new();
    for client in &clients {
        watches.push(watch(&clients[0], client).await.unwrap());
    }

    rotate(&balancer, pki).await.unwrap();
    let new_authority = Authority::new("new-user-ca").unwrap();
    let both = format!("{}{}", pki.user_authority.pem(), new_authority.pem());
    replace(&pki.user_ca.certificate, &both).unwrap();
    let mary = new_authority.client("mary", &["dev"]).unwrap();
    let is_taken = async || {
        let mary = balancer.client_with(&mary, Protocol::Http2).unwrap();
        user(&mary, None).await.is_ok_and(|(_, user)| user == "mary")
    };
    wait_until("a new authority of clients is believed", SOON, is_taken).await.unwrap();

    // The server verifies with each request, and so does Peerway.
    for client in &ending {
        let is_over = async || user(client, None).await.is_ok_and(|(status, _)| status == 401);
        wait_until("the certificate has ended", SOON, is_over).await.unwrap();
        let by_token = user(client, Some(NOBODY_TOKEN)).await.unwrap();
        assert_eq!(by_token, (201, "nobody".to_owned()));
    }

    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "after"}});
    assert_eq!(clients[0].post(MAPS, &map).await.unwrap().status, 201);
    for watch in &mut watches {
        let event = watch.next(SOON).await.unwrap().expect("the watch is open");
        let event: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!(event["object"]["metadata"]["name"], "after");
    }
    no_vm_died(&mut balancer).await.unwrap();
}

/// The listener's and the front proxy's, and waits until Envoy has both.
async fn rotate(balancer: &Balancer, pki: &Pki) -> Result<()> {
    let before = serials(balancer).await?;
    let serving = pki.serving_authority.serving("kube-apiserver", &SERVER_NAMES)?;
    let front_proxy = pki.front_proxy_authority.client("front-proxy-client", &[])?;
    replace_pair(&pki.server, &serving)?;
    replace_pair(&pki.front_proxy, &front_proxy)?;
    let is_new = async || serials(balancer).await.is_ok_and(|now| now.is_disjoint(&before));
    wait_until("Envoy has the new certificates", SOON, is_new).await?;
    // A new connection shows one, and what goes over it the other.
    let jane = pki.user_authority.client("jane", &[])?;
    let client = balancer.client_with(&jane, Protocol::Http1)?;
    ensure!(user(&client, None).await? == (201, "jane".to_owned()));
    Ok(())
}

/// The serial numbers of the certificates that Envoy shows.
async fn serials(balancer: &Balancer) -> Result<std::collections::BTreeSet<String>> {
    let certificates = balancer.certificates().await?;
    let all = certificates["certificates"].as_array().context("no certificates")?;
    let chains = all.iter().filter_map(|entry| entry["cert_chain"].as_array()).flatten();
    let serials: std::collections::BTreeSet<_> =
        chains.filter_map(|entry| entry["serial_number"].as_str().map(str::to_owned)).collect();
    ensure!(serials.len() >= 2, "{certificates}");
    Ok(serials)
}

fn replace_pair(files: &IdentityFiles, with: &Identity) -> Result<()> {
    replace(&files.certificate, &with.certificate_pem)?;
    replace(&files.key, &with.key_pem)
}

/// As operators do it: by a rename.
fn replace(file: &Path, with: &str) -> Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, with)?;
    Ok(std::fs::rename(new, file)?)
}

/// Long enough to be used first.
const LIFE: Duration = Duration::from_secs(8);

fn short_lived(pki: &Pki) -> Result<Identity> {
    let mut params = CertificateParams::default();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = (SystemTime::now() + LIFE).into();
    let of = |oid, value: &str| {
        vec![Attribute { oid, tag: Tag::Utf8String, value: value.as_bytes().to_vec() }]
    };
    pki.user_authority.craft(params, &[of("2.5.4.10", "system:masters"), of("2.5.4.3", "short")])
}

/// The status of a question who one is, and who that is.
async fn user(client: &Client, token: Option<&str>) -> Result<(u16, String)> {
    let mut request = Request::new(Method::POST, REVIEWS).json(&json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
    }));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = client.send(request).await?;
    let user = answer.json()?["status"]["userInfo"]["username"].as_str().map(str::to_owned);
    Ok((answer.status.as_u16(), user.unwrap_or_default()))
}

async fn watch(lister: &Client, client: &Client) -> Result<Lines> {
    let listed = lister.get(MAPS).await?.json()?;
    let version = listed["metadata"]["resourceVersion"].as_str().context("no list")?;
    client.lines(Request::get(format!("{MAPS}?watch=1&resourceVersion={version}"))).await
}
