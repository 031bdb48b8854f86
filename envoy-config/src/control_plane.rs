//! The control-plane file → [`ControlPlane`], valid by construction, or every problem at once.
//!
//! Fields, formats and defaults are described in `docs/configuration.md`; a test compares the two.

use std::net::SocketAddr;

use peerway_core::servers::MAX_SERVERS;

use crate::problems::Problems;
use crate::section::{Reading, Section};
use crate::values::{self, AccessLog, Affinity, Millis, ServerName};

/// A control plane to put Peerway in front of: everything that a rendering depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlane {
    pub(crate) listen: Listen,
    /// By which the servers believe who a caller with a certificate is. There exactly when
    /// `listen.client_ca` is.
    pub(crate) front_proxy: Option<KeyPair>,
    /// 1 to [`MAX_SERVERS`], names and addresses all different.
    pub(crate) servers: Vec<Server>,
    pub(crate) servers_tls: ServersTls,
    pub(crate) fetcher: Fetcher,
    /// At least two poll intervals.
    pub(crate) stale_after: Millis,
    pub(crate) startup_wait: Millis,
    pub(crate) connect_timeout: Millis,
    pub(crate) affinity: Affinity,
    pub(crate) wasm: String,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) debug: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    /// Path of the authorities that sign clients' certificates.
    pub(crate) client_ca: Option<String>,
    pub(crate) pair: KeyPair,
}

/// Paths of a certificate (with its chain) and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServersTls {
    pub(crate) ca: String,
    pub(crate) name: ServerName,
}

/// How the fetcher proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    TokenFile(String),
    ClientCertificate(KeyPair),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetcher {
    pub(crate) credential: Credential,
    /// Loopback.
    pub(crate) listen: SocketAddr,
    pub(crate) poll_interval: Millis,
    pub(crate) probe_timeout: Millis,
    pub(crate) discovery_timeout: Millis,
}

/// The one version of the file's format.
const VERSION: &str = "v1alpha1";
/// In every kube-apiserver's certificate that kubeadm, k3s and their like make.
const SERVER_NAME: &str = "kubernetes.default.svc";
/// Not a port of Kubernetes, nor one of Envoy's or Istio's well-known ones (15090 is).
const FETCHER_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 15190);
/// How late a server's new API may be known; an unchanged server costs two empty answers.
const POLL_INTERVAL: Millis = Millis(1_000);
/// A server that needs longer for `/readyz` serves nobody well.
const PROBE_TIMEOUT: Millis = Millis(1_000);
/// Discovery of a large cluster is some megabytes, made anew when a CRD has changed.
const DISCOVERY_TIMEOUT: Millis = Millis(10_000);
/// Several looks may fail in a row, and the map still counts.
const STALE_AFTER_POLLS: u64 = 10;
/// A kube-apiserver that starts together with Envoy is ready after some seconds; longer, and clients
/// wait for one that may be gone for good.
const STARTUP_WAIT: Millis = Millis(30_000);
/// TCP and TLS within one site take some milliseconds, on a busy server some hundred; until it is
/// over, a request waits for a server that does not answer.
const CONNECT_TIMEOUT: Millis = Millis(1_000);

impl ControlPlane {
    /// Whose certificates clients may show, and by which the servers are told of them.
    pub(crate) fn clients(&self) -> Option<(&str, &KeyPair)> {
        self.listen.client_ca.as_deref().zip(self.front_proxy.as_ref())
    }

    /// Reads a control-plane file.
    pub fn from_yaml(text: &str) -> Result<Self, Problems> {
        let reading = Reading::default();
        let read = Section::of_file(text, &reading).and_then(Self::read);
        match (read, reading.into_problems()) {
            (Some(control_plane), problems) if problems.0.is_empty() => Ok(control_plane),
            (_, problems) => Err(problems),
        }
    }

    fn read(mut file: Section<'_>) -> Option<Self> {
        let is_ours = |text: &str| match text {
            VERSION => Ok(()),
            other => Err(format!("{other:?} is not known, {VERSION} is")),
        };
        let version = file.required("version", is_ours);
        let listen = file.section("listen").and_then(Listen::read);
        let front_proxy = match file.optional_section("frontProxy") {
            Some(Some(section)) => KeyPair::read(section).map(Some),
            Some(None) => Some(None),
            None => None,
        };
        refuse_half_an_identity(&file, listen.as_ref(), front_proxy.as_ref());
        let servers = read_servers(&mut file);
        let servers_tls = file.section("serversTls").and_then(ServersTls::read);
        let fetcher = file.section("fetcher").and_then(Fetcher::read);
        let poll = fetcher.as_ref().map_or(POLL_INTERVAL, |fetcher| fetcher.poll_interval);
        let stale_after = file.or(
            "staleAfter",
            Millis(poll.0 * STALE_AFTER_POLLS),
            values::duration(poll.0 * 2..=3_600_000),
        );
        let startup_wait = file.or("startupWait", STARTUP_WAIT, values::duration(0..=600_000));
        let connect_timeout =
            file.or("connectTimeout", CONNECT_TIMEOUT, values::duration(10..=60_000));
        let affinity = file.or("affinity", Affinity::Connection, values::affinity);
        let wasm = file.required("wasm", values::path);
        let admin = file.optional("admin", values::loopback);
        let access_log = file.optional("accessLog", values::access_log);
        let debug = file.flag("debug");
        let listeners = [
            ("listen.address", listen.as_ref().map(|listen| listen.address)),
            ("fetcher.listen", fetcher.as_ref().map(|fetcher| fetcher.listen)),
            ("admin", admin.flatten()),
        ];
        refuse_shared_ports(&file, listeners, servers.as_deref().unwrap_or_default());
        file.close();
        version?;
        Some(Self {
            listen: listen?,
            front_proxy: front_proxy?,
            servers: servers?,
            servers_tls: servers_tls?,
            fetcher: fetcher?,
            stale_after: stale_after?,
            startup_wait: startup_wait?,
            connect_timeout: connect_timeout?,
            affinity: affinity?,
            wasm: wasm?,
            admin: admin?,
            access_log: access_log?,
            debug: debug?,
        })
    }
}

impl Listen {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let address = section.required("address", values::address);
        let client_ca = section.optional("clientCa", values::path);
        let pair = KeyPair::read(section);
        Some(Self { address: address?, client_ca: client_ca?, pair: pair? })
    }
}

impl KeyPair {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let certificate = section.required("certificate", values::path);
        let key = section.required("key", values::path);
        section.close();
        Some(Self { certificate: certificate?, key: key? })
    }
}

impl Server {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let name = section.required("name", values::name);
        let address = section.required("address", values::remote);
        section.close();
        Some(Self { name: name?, address: address? })
    }
}

impl ServersTls {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let ca = section.required("ca", values::path);
        let default = ServerName::Dns(SERVER_NAME.to_owned());
        let name = section.or("serverName", default, values::server_name);
        section.close();
        Some(Self { ca: ca?, name: name? })
    }
}

impl Fetcher {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let token = section.optional("tokenFile", values::path);
        let certificate = section.optional_section("clientCertificate");
        let is_one = match (&token, &certificate) {
            (Some(None), Some(None)) => {
                Err("neither tokenFile nor clientCertificate: one is needed")
            }
            (Some(Some(_)), Some(Some(_))) => {
                Err("both tokenFile and clientCertificate: only one is possible")
            }
            _ => Ok(()),
        };
        if let Err(what) = is_one {
            section.problem_here(what);
        }
        let credential = match (token, certificate) {
            (Some(Some(token)), Some(None)) => Some(Credential::TokenFile(token)),
            (_, Some(Some(section))) => KeyPair::read(section).map(Credential::ClientCertificate),
            _ => None,
        };
        let listen = section.or("listen", FETCHER_LISTEN, values::loopback);
        let poll_interval =
            section.or("pollInterval", POLL_INTERVAL, values::duration(100..=60_000));
        let probe_timeout =
            section.or("probeTimeout", PROBE_TIMEOUT, values::duration(10..=60_000));
        let discovery_timeout =
            section.or("discoveryTimeout", DISCOVERY_TIMEOUT, values::duration(100..=300_000));
        section.close();
        Some(Self {
            credential: credential?,
            listen: listen?,
            poll_interval: poll_interval?,
            probe_timeout: probe_timeout?,
            discovery_timeout: discovery_timeout?,
        })
    }
}

fn read_servers(file: &mut Section<'_>) -> Option<Vec<Server>> {
    let sections = file.sections("servers")?;
    let count = sections.len();
    if !(1..=MAX_SERVERS).contains(&count) {
        file.problem("servers", format!("{count} of them, 1 to {MAX_SERVERS} are possible"));
    }
    let servers: Vec<_> = sections.into_iter().map(Server::read).collect();
    for (at, server) in servers.iter().enumerate() {
        let Some(server) = server else { continue };
        for (earlier, other) in servers.iter().enumerate().take(at) {
            let Some(other) = other else { continue };
            if other.name == server.name {
                let what = format!("{:?} is the name of servers[{earlier}]", server.name);
                file.problem(&format!("servers[{at}].name"), what);
            }
            if other.address == server.address {
                let what = format!("{} is the address of servers[{earlier}]", server.address);
                file.problem(&format!("servers[{at}].address"), what);
            }
        }
    }
    servers.into_iter().collect()
}

/// A certificate that was verified says nothing to the servers without the front proxy's, and nobody
/// else may use that.
fn refuse_half_an_identity(
    file: &Section<'_>,
    listen: Option<&Listen>,
    front_proxy: Option<&Option<KeyPair>>,
) {
    match (listen.map(|listen| &listen.client_ca), front_proxy) {
        (Some(Some(_)), Some(None)) => {
            file.problem("frontProxy", "missing: listen.clientCa is of no use without it");
        }
        (Some(None), Some(Some(_))) => {
            file.problem("listen.clientCa", "missing: frontProxy is of no use without it");
        }
        _ => {}
    }
}

/// Two listeners cannot share a port, and a server at one of them would be Peerway itself, in a loop.
fn refuse_shared_ports(
    file: &Section<'_>,
    listeners: [(&str, Option<SocketAddr>); 3],
    servers: &[Server],
) {
    let listeners = listeners.iter().filter_map(|(place, address)| Some((place, (*address)?)));
    let listeners: Vec<_> = listeners.collect();
    for (at, (place, address)) in listeners.iter().enumerate() {
        for (earlier, other) in listeners.iter().take(at) {
            let any = address.ip().is_unspecified() || other.ip().is_unspecified();
            if address.port() == other.port() && (any || address.ip() == other.ip()) {
                file.problem(place, format!("{address} has the port of {earlier}"));
            }
        }
        for (index, server) in servers.iter().enumerate() {
            let any = address.ip().is_unspecified() && server.address.ip().is_loopback();
            if address.port() == server.address.port()
                && (any || address.ip() == server.address.ip())
            {
                let what = format!("{} is {place}, not a server behind it", server.address);
                file.problem(&format!("servers[{index}].address"), what);
            }
        }
    }
}

#[cfg(test)]
mod tests;
