//! A simulated kube-apiserver, only for what a real one cannot be made to do: hang, lie, send
//! garbage or megabytes of discovery, answer slowly, cut connections, refuse streams, not finish a
//! handshake.
//!
//! It speaks HTTP/1.1 and HTTP/2 over TLS, answers discovery and listed resources plausibly, says
//! "I do not know this resource" in a real server's bytes, and remembers what it was asked. Who may
//! ask is nothing to it: every caller is let in. Start at `Simulation`, steer by `SimulatedServer`.

mod accept;
mod aggregated;
mod answer;
mod black_hole;
mod discovery;
mod fault;
mod forward;
mod not_found;
mod resource;
mod serve;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::client::Client;
use crate::pki::Identity;
use crate::process;
use state::State;

pub use black_hole::BlackHole;
pub use discovery::{Discovery, Speaks};
pub use fault::{Fault, Matcher, Reply};
pub use not_found::{Encoding, NotFound, PAGE_NOT_FOUND};
pub use resource::ApiResource;
pub use state::Recorded;

/// What is settled before a simulated server starts.
#[derive(Debug)]
pub struct Simulation {
    name: String,
    version: String,
    port: Option<u16>,
    real: Option<Client>,
    discovery: Discovery,
}

impl Simulation {
    /// A server called `name` (its answers carry it) that lists what `discovery` says.
    pub fn new(name: &str, discovery: Discovery) -> Self {
        Self {
            name: name.to_owned(),
            version: "1.36.3".to_owned(),
            port: None,
            real: None,
            discovery,
        }
    }

    /// Stands before a real server, which `client` leads to: what no fault strikes is answered by
    /// that one, to the caller's own credentials.
    pub fn before(name: &str, client: Client) -> Result<Self> {
        Ok(Self { real: Some(client), ..Self::new(name, Discovery::of(&[])?) })
    }

    /// What `/version` tells, such as `1.35.4`. Nothing else follows from it.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Listens on this port of 127.0.0.1 and not on a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts listening; connections are accepted when this returns. Needs a Tokio runtime, which
    /// then also runs the server.
    pub async fn start(self, identity: &Identity) -> Result<SimulatedServer> {
        let port = match self.port {
            Some(port) => port,
            None => process::free_port()?,
        };
        let mut server = SimulatedServer {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: Arc::new(server_config(identity)?),
            state: Arc::new(State::new(self.name, self.version, self.real, self.discovery)),
            accepting: None,
        };
        server.open().await?;
        Ok(server)
    }
}

/// A running simulated server. All its connections end when it is dropped.
#[derive(Debug)]
pub struct SimulatedServer {
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl SimulatedServer {
    /// The name that its answers carry.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Where it listens, also while it does not.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on requests that `matcher` matches meet `fault`. Of several that match, the one set
    /// last counts; setting one for a matcher that has one replaces it. Requests under way are not
    /// touched.
    pub fn set_fault(&self, matcher: Matcher, fault: Fault) {
        self.state.set_fault(matcher, fault);
    }

    /// Takes back the fault of exactly this matcher, if it has one.
    pub fn heal(&self, matcher: &Matcher) {
        self.state.heal(matcher);
    }

    /// Takes back all faults. A request that hangs goes on hanging.
    pub fn heal_all(&self) {
        self.state.heal_all();
    }

    /// Lists and serves something else from now on, as a server of another version in its place
    /// would.
    pub fn set_discovery(&self, discovery: Discovery) {
        self.state.set_discovery(discovery);
    }

    /// What it was asked since the start or the last `forget_requests`, in order of arrival. A
    /// request is there once its whole body is, before any fault strikes.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests()
    }

    /// As `requests`, but only those whose path `matcher` matches.
    pub fn requests_to(&self, matcher: &Matcher) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| matcher.matches(request));
        requests
    }

    /// Empties the list of requests.
    pub fn forget_requests(&self) {
        self.state.forget_requests();
    }

    /// Ends every connection and stops listening: new ones are refused when this returns.
    pub async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // The task's end closes its socket; that it was aborted is no news.
            let _ = accepting.await;
        }
    }

    /// Listens (again), on the same port. Connections that are open end.
    pub async fn open(&mut self) -> Result<()> {
        let listener = self.listen().await?;
        let tls = TlsAcceptor::from(Arc::clone(&self.tls));
        let state = Arc::clone(&self.state);
        self.accepting = Some(tokio::spawn(serve::accept(listener, tls, state)));
        Ok(())
    }

    /// Accepts TCP connections from now on, but never says a word of TLS: a process that hangs.
    /// Open connections end. `open` makes it talk again.
    pub async fn mute(&mut self) -> Result<()> {
        let listener = self.listen().await?;
        self.accepting = Some(tokio::spawn(serve::accept_silently(listener)));
        Ok(())
    }

    async fn listen(&mut self) -> Result<TcpListener> {
        self.close().await;
        let address = self.address;
        let listen = || {
            let socket = TcpSocket::new_v4()?;
            // Connections that ended a moment ago still hold the port.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        listen().with_context(|| format!("{}: cannot listen on {address}", self.state.name))
    }
}

impl Drop for SimulatedServer {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }
}

/// More than any test opens at once.
const BACKLOG: u32 = 1024;

fn server_config(identity: &Identity) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the simulated server's certificate is no PEM")?;
    if chain.is_empty() {
        bail!("the simulated server's certificate: no certificate in its PEM");
    }
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
        .context("the simulated server's key is no PEM")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS of the simulated server")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the simulated server's certificate and key")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
