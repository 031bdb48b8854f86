//! The HTTP client of tests and demo: what was sent is what they said, what came back is all of it.
//!
//! HTTP/1.1 or HTTP/2, the rig's own authority, a bearer token; never a retry, a redirect, a proxy
//! or a path made nicer. A request target that no URL can hold goes out by `Client::raw`. Every
//! wait ends at the client's deadline. Knows nothing of Kubernetes but the content type of a patch.

mod exchange;
mod lines;
mod raw;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Response, Url, redirect, retry};
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use serde_json::Value;
use tokio::task::JoinSet;

pub use exchange::{Answer, Request};

use crate::pki::Identity;
pub use lines::Lines;

/// The HTTP version that a client speaks, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: as many connections as requests at a time.
    Http1,
    /// HTTP/2: one connection, and so one worker of an Envoy.
    Http2,
}

/// A client of one address. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// `None` for a listener without TLS.
    tls: Option<Arc<ClientConfig>>,
    address: SocketAddr,
    protocol: Protocol,
    token: Option<String>,
    deadline: Duration,
}

impl Client {
    /// Speaks TLS and believes the authorities of `trusted_pem` alone.
    pub fn new(address: SocketAddr, trusted_pem: &str, protocol: Protocol) -> Result<Self> {
        Self::build(address, Some(trusted_pem), protocol)
    }

    /// The same with a client certificate, which is shown whatever the server asks for.
    pub fn with_certificate(
        address: SocketAddr,
        trusted_pem: &str,
        protocol: Protocol,
        identity: &Identity,
    ) -> Result<Self> {
        let mut tls = client_config(trusted_pem, protocol)?;
        tls.client_auth_cert_resolver = Arc::new(Shown(certified(identity)?));
        Self::over(address, Some(tls), protocol)
    }

    /// Without TLS, for listeners on loopback. HTTP/2 is spoken without being asked.
    pub fn plain(address: SocketAddr, protocol: Protocol) -> Result<Self> {
        Self::build(address, None, protocol)
    }

    /// Sends this bearer token with every request that brings no `Authorization` of its own.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Sends none of its own.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.token = None;
        self
    }

    /// How long an answer may take, to its last byte; for `lines` to the end of its head. 30 s when
    /// unset.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Where requests go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Request::new(Method::GET, path)).await
    }

    /// HEAD.
    pub async fn head(&self, path: &str) -> Result<Answer> {
        self.send(Request::new(Method::HEAD, path)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(Request::new(Method::DELETE, path)).await
    }

    /// POST of a JSON object.
    pub async fn post(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send(Request::new(Method::POST, path).json(object)).await
    }

    /// PUT of a JSON object.
    pub async fn put(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send(Request::new(Method::PUT, path).json(object)).await
    }

    /// PATCH by JSON merge.
    pub async fn patch(&self, path: &str, change: &Value) -> Result<Answer> {
        let request = Request::new(Method::PATCH, path);
        self.send(request.body("application/merge-patch+json", change.to_string())).await
    }

    /// Sends a request and reads the whole answer, whatever its status. An error means that there
    /// was no complete answer.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        let what = self.what(&request);
        let exchange = async {
            let response = self.begin(request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.context("the body broke off")?;
            Ok(Answer { status, headers, body })
        };
        within(self.deadline, exchange).await.context(what)
    }

    /// Sends a request and reads its answer line by line, as a watch is read.
    pub async fn lines(&self, request: Request) -> Result<Lines> {
        let what = self.what(&request);
        let response = within(self.deadline, self.begin(request)).await.context(what)?;
        Ok(Lines::new(response))
    }

    /// Sends all requests, `concurrency` at a time, and returns the answers in the requests' order.
    pub async fn many(&self, requests: Vec<Request>, concurrency: usize) -> Vec<Result<Answer>> {
        let queue = Arc::new(Mutex::new(requests.into_iter().enumerate()));
        let mut senders = JoinSet::new();
        for _ in 0..concurrency.max(1) {
            let (client, queue) = (self.clone(), Arc::clone(&queue));
            senders.spawn(async move {
                let mut answers = Vec::new();
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((index, request)) = next() {
                    answers.push((index, client.send(request).await));
                }
                answers
            });
        }
        let mut answers: Vec<_> = senders.join_all().await.into_iter().flatten().collect();
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    pub(crate) async fn begin(&self, request: Request) -> Result<Response> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let target = std::str::from_utf8(&request.target).context("not text: use raw")?;
        let text = format!("{scheme}://{}{target}", self.address);
        let url = Url::parse(&text).with_context(|| format!("{text:?} is no URL: use raw"))?;
        let is_kept = url.as_str() == text && url.fragment().is_none();
        ensure!(is_kept, "{text:?} would go out as {:?}: use raw", url.as_str());
        let mut headers = request.header_map()?;
        if let Some(token) = &self.token
            && !request.has(AUTHORIZATION.as_str())
        {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).context("the token")?;
            headers.insert(AUTHORIZATION, value);
        }
        let sent = self.http.request(request.method, url).headers(headers).body(request.body);
        sent.send().await.context("no answer")
    }

    fn what(&self, request: &Request) -> String {
        format!("{} {} at {}", request.method, request.target.escape_ascii(), self.address)
    }

    fn build(address: SocketAddr, trusted: Option<&str>, protocol: Protocol) -> Result<Self> {
        let tls = trusted.map(|pem| client_config(pem, protocol)).transpose()?;
        Self::over(address, tls, protocol)
    }

    fn over(address: SocketAddr, tls: Option<ClientConfig>, protocol: Protocol) -> Result<Self> {
        let builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            // Without one given, reqwest looks for a process-wide TLS provider, also when it needs
            // none.
            .use_preconfigured_tls(match &tls {
                Some(config) => config.clone(),
                None => client_config("", protocol)?,
            });
        let builder = match protocol {
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder.http2_prior_knowledge(),
        };
        Ok(Self {
            http: builder.build().context("cannot make an HTTP client")?,
            tls: tls.map(Arc::new),
            address,
            protocol,
            token: None,
            deadline: DEADLINE,
        })
    }
}

async fn within<T>(deadline: Duration, exchange: impl Future<Output = Result<T>>) -> Result<T> {
    let limited = tokio::time::timeout(deadline, exchange).await;
    limited.with_context(|| format!("no complete answer within {deadline:?}"))?
}

fn client_config(trusted_pem: &str, protocol: Protocol) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted_pem.as_bytes()) {
        let certificate = certificate.context("trusted authorities: no PEM")?;
        roots.add(certificate).context("trusted authorities")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS of the client")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

/// A client certificate that is sent without asking whether the server wants it.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes());
    let chain = chain.collect::<Result<_, _>>().context("the client certificate is no PEM")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
    let key = any_supported_type(&key.context("the client's key is no PEM")?);
    Ok(Arc::new(CertifiedKey::new(chain, key.context("the client's key")?)))
}

/// Well above what a slow machine needs, so that only what hangs meets it.
const DEADLINE: Duration = Duration::from_secs(30);
