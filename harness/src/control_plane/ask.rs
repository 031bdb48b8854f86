//! One question to one server, as the rig itself asks it: with a token, over TLS that trusts the
//! rig's authority alone, each time over a new connection, so that an answer is about the server as
//! it is now.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;
use rustls::{ClientConfig, RootCertStore};

use crate::pki::Authority;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; what is not UTF-8 in it is replaced.
    pub body: String,
}

#[derive(Debug, Clone)]
pub(super) struct Asker {
    client: Client,
    token: &'static str,
}

impl Asker {
    pub(super) fn new(trusted: &Authority, token: &'static str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der().clone()).context("cannot trust the rig's own authority")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS version to offer")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .use_preconfigured_tls(tls)
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(LIMIT)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { client, token })
    }

    pub(super) async fn get(&self, url: &str) -> Result<Answer> {
        send(self.client.get(url).bearer_auth(self.token)).await
    }

    pub(super) async fn post(&self, url: &str, body: &serde_json::Value) -> Result<Answer> {
        send(self.client.post(url).bearer_auth(self.token).json(body)).await
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await.context("no answer")?;
    let status = response.status().as_u16();
    let body = response.text().await.context("half an answer")?;
    Ok(Answer { status, body })
}

/// A busy server answers late; one that says nothing for this long is frozen.
const LIMIT: Duration = Duration::from_secs(10);
