//! One connection to a server -> what TLS and HTTP/2 show: its certificate, also one that is not to be
//! trusted, whose client certificates it takes, and how many streams.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use envoy_config::preflight::{Certificate, Wire};
use h2::client::SendRequest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, client};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use ureq::http;

/// So many requests on one connection are a look; a server that ends one in fifty shows it in half of
/// the looks.
const REQUESTS: usize = 30;

/// How a connection is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door<'a> {
    pub(super) address: SocketAddr,
    pub(super) server_name: &'a str,
    /// What the server's certificate is verified by, PEM.
    pub(super) ca: &'a [u8],
    /// Certificate and key of the fetcher, PEM, if it has any.
    pub(super) own: Option<(&'a [u8], &'a [u8])>,
    /// The fetcher's token, if it has one.
    pub(super) token: Option<&'a str>,
    pub(super) timeout: Duration,
}

/// Connects and looks. An error says why there is no connection.
pub(super) fn look(door: &Door<'_>) -> Result<Wire, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let looked = async { tokio::time::timeout(door.timeout, looked(door)).await };
    let looked = runtime.block_on(looked);
    looked.unwrap_or_else(|_| Err(format!("no answer in {} s", door.timeout.as_secs())))
}

async fn looked(door: &Door<'_>) -> Result<Wire, String> {
    let seen = Arc::new(Seen::default());
    let config = config(door, &seen)?;
    let name = ServerName::try_from(door.server_name.to_owned());
    let name = name.map_err(|error| format!("{}: {error}", door.server_name))?;
    let stream = TcpStream::connect(door.address).await.map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let mut wire = Wire {
        tls: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            _ => "TLS 1.3".to_owned(),
        },
        certificate: shown.and_then(|certificate| Certificate::from_der(certificate).ok()),
        is_http2: session.alpn_protocol() == Some(b"h2"),
        ..Wire::default()
    };
    if wire.is_http2 && !seen.is_untrusted() {
        requests(door, stream, &mut wire).await?;
    }
    wire.untrusted = take(&seen.untrusted);
    wire.client_authorities = take(&seen.authorities);
    Ok(wire)
}

/// Asks for `/readyz` again and again, and notes what the connection does.
async fn requests(
    door: &Door<'_>,
    stream: TlsStream<TcpStream>,
    wire: &mut Wire,
) -> Result<(), String> {
    let failed = |error: h2::Error| format!("HTTP/2: {error}");
    let (sender, connection) = h2::client::handshake(stream).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let authority = match door.server_name.contains(':') {
        true => format!("[{}]", door.server_name),
        false => door.server_name.to_owned(),
    };
    for at in 0..REQUESTS {
        match readyz(sender.clone(), &authority, door.token).await {
            Ok(status) => {
                wire.requests = at + 1;
                // Who is not known has the connection ended after each answer.
                if status == http::StatusCode::UNAUTHORIZED {
                    break;
                }
            }
            Err(why) if at == 0 => return Err(format!("HTTP/2: {why}")),
            Err(_) => {
                wire.ended_after = Some(at);
                break;
            }
        }
    }
    // The library's own way to say that the server set no limit.
    let most = sender.current_max_send_streams();
    wire.max_streams = (most < usize::MAX / 2 && most != u32::MAX as usize).then_some(most);
    connection.abort();
    Ok(())
}

async fn readyz(
    sender: SendRequest<Bytes>,
    authority: &str,
    token: Option<&str>,
) -> Result<http::StatusCode, String> {
    let mut request = http::Request::get(format!("https://{authority}/readyz"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(()).map_err(|error| error.to_string())?;
    let answer = async {
        let (answer, _) = sender.ready().await?.send_request(request, true)?;
        answer.await
    };
    answer.await.map(|answer| answer.status()).map_err(|error: h2::Error| error.to_string())
}

fn config(door: &Door<'_>, seen: &Arc<Seen>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(door.ca)? {
        roots.add(certificate).map_err(|error| format!("serversTls.ca: {error}"))?;
    }
    let inner =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let inner = inner.map_err(|error| format!("serversTls.ca: {error}"))?;
    let own = match door.own {
        Some((certificate, key)) => Some(Arc::new(certified(certificate, key, &provider)?)),
        None => None,
    };
    let failed = |error: Error| error.to_string();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Noting { inner, seen: Arc::clone(seen) }))
        .with_client_cert_resolver(Arc::new(Showing { own, seen: Arc::clone(seen) }));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    read.map_err(|error| error.to_string())
}

/// Whether a key is that of a certificate, the first of its chain. An error says why not.
pub(super) fn fits(chain: &[u8], key: &[u8]) -> Result<(), String> {
    certified(chain, key, &ring::default_provider()).map(drop)
}

fn certified(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
    let key = CertifiedKey::from_der(certificates(certificate)?, key, provider);
    key.map_err(|error| error.to_string())
}

/// What the handshake showed.
#[derive(Debug, Default)]
struct Seen {
    untrusted: Mutex<Option<String>>,
    authorities: Mutex<Vec<Vec<u8>>>,
}

impl Seen {
    fn is_untrusted(&self) -> bool {
        self.untrusted.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

fn put<T>(place: &Mutex<T>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

fn take<T: Default>(place: &Mutex<T>) -> T {
    std::mem::take(&mut *place.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Verifies as Envoy will, and goes on whatever comes out, so that it can be told. Nothing that is
/// secret is sent to a server that is not trusted.
#[derive(Debug)]
struct Noting {
    inner: Arc<WebPkiServerVerifier>,
    seen: Arc<Seen>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if let Err(error) = verified {
            put(&self.seen.untrusted, Some(error.to_string()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Shows the fetcher's certificate, and notes whose the server asked for.
#[derive(Debug)]
struct Showing {
    own: Option<Arc<CertifiedKey>>,
    seen: Arc<Seen>,
}

impl client::ResolvesClientCert for Showing {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let authorities = authorities.iter().map(|subject| subject.to_vec()).collect();
        put(&self.seen.authorities, authorities);
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
