//! How a control-plane file says that its servers are reached: for who wants to ask them as the
//! fetcher does.

use std::net::SocketAddr;
use std::time::Duration;

use crate::control_plane::{ControlPlane, Credential};
use crate::values::ServerName;

/// Where the servers are, how they are verified, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach<'a> {
    /// Name and address of each, in order.
    pub servers: Vec<(&'a str, SocketAddr)>,
    /// Path of the certificates that theirs are verified by, PEM.
    pub ca: &'a str,
    /// The DNS name or address that their certificates are for.
    pub server_name: String,
    /// Who asks.
    pub identity: Identity<'a>,
    /// How long a discovery answer may take.
    pub timeout: Duration,
    /// Where the balancer listens.
    pub listen: SocketAddr,
    /// Paths of the certificate that it shows and its key, PEM.
    pub listen_pair: (&'a str, &'a str),
    /// Path of the authorities of clients' certificates, PEM, where some are asked for.
    pub client_ca: Option<&'a str>,
    /// Paths of the front-proxy certificate and its key, PEM, where there is one.
    pub front_proxy: Option<(&'a str, &'a str)>,
    /// Path of the module.
    pub module: &'a str,
}

/// What the fetcher proves who it is by: paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity<'a> {
    /// A file that holds a bearer token.
    TokenFile(&'a str),
    /// A client certificate and its key, PEM.
    Certificate {
        /// With its chain.
        certificate: &'a str,
        /// Its key.
        key: &'a str,
    },
}

impl ControlPlane {
    /// How its servers are reached.
    pub fn reach(&self) -> Reach<'_> {
        let servers = self.servers.iter().map(|server| (server.name.as_str(), server.address));
        let server_name = match &self.servers_tls.name {
            ServerName::Dns(name) => name.clone(),
            ServerName::Ip(address) => address.to_string(),
        };
        let identity = match &self.fetcher.credential {
            Credential::TokenFile(path) => Identity::TokenFile(path),
            Credential::ClientCertificate(pair) => {
                Identity::Certificate { certificate: &pair.certificate, key: &pair.key }
            }
        };
        Reach {
            servers: servers.collect(),
            ca: &self.servers_tls.ca,
            server_name,
            identity,
            timeout: Duration::from_millis(self.fetcher.discovery_timeout.0),
            listen: self.listen.address,
            listen_pair: (&self.listen.pair.certificate, &self.listen.pair.key),
            client_ca: self.clients().map(|(authorities, _)| authorities),
            front_proxy: self
                .clients()
                .map(|(_, pair)| (pair.certificate.as_str(), pair.key.as_str())),
            module: &self.wasm,
        }
    }
}
