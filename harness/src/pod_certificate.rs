//! An object of an API that came with Kubernetes 1.37, namespaced: what a kubelet asks for on behalf of
//! a pod.

use anyhow::{Context, Result};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::{Value, json};

/// A `PodCertificateRequest`. Servers check the request's signature, not whether pod, node and service
/// account are there.
pub fn pod_certificate_request(namespace: &str, name: &str) -> Result<Value> {
    let mut request = CertificateParams::default();
    request.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate().context("cannot make a key")?;
    let pem = request.serialize_request(&key).and_then(|request| request.pem());
    let pem = pem.context("cannot make a certificate request")?;
    // What stands between the first and the last line of PEM is base64 of the DER.
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "PodCertificateRequest",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "signerName": "example.com/x",
            "podName": "pod",
            "podUID": "4a1f3c6e-0000-4000-8000-000000000001",
            "serviceAccountName": "default",
            "serviceAccountUID": "4a1f3c6e-0000-4000-8000-000000000002",
            "nodeName": "node-1",
            "nodeUID": "4a1f3c6e-0000-4000-8000-000000000003",
            "stubPKCS10Request": base64,
        },
    }))
}
