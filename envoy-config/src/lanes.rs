//! The lanes upstream: how a caller proves who it is to the servers, and over which HTTP.
//!
//! Each lane is two Envoy clusters, `<lane>_pool` and `<lane>_peers`. The first, `direct`, stands in
//! `templates/clusters.yaml` with all reasons; the others are made here, and differ from it in their
//! connections alone.

use crate::template::fill;

/// A lane beside `direct`.
struct Lane {
    name: &'static str,
    /// For the reader of the rendered file.
    what: &'static str,
    http: Http,
    /// Whether the servers are to believe who the caller is.
    vouches: bool,
}

#[derive(Clone, Copy)]
enum Http {
    One,
    Two,
}

const DIRECT_HTTP1: Lane = Lane {
    name: "direct_http1",
    what: "Upgrades, and callers without credentials, over HTTP/1.1.",
    http: Http::One,
    vouches: false,
};
/// Its pool has the definitions that both refer to, so it comes first.
const IDENTITY: Lane = Lane {
    name: "identity",
    what: "Callers with a verified certificate: over the front proxy's connections, whose servers believe\n\
           # who Peerway says that the caller is.",
    http: Http::Two,
    vouches: true,
};
const IDENTITY_HTTP1: Lane =
    Lane { name: "identity_http1", what: "Their upgrades.", http: Http::One, vouches: true };

/// Which lanes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// For tokens, and for nobody.
    Direct,
    /// Also for client certificates.
    Identity,
}

/// The SDS secret with the front proxy's certificate.
pub(crate) const FRONT_PROXY: &str = "front_proxy";

impl Lanes {
    /// The clusters of the lanes beside `direct`.
    pub(crate) fn clusters(self, connect_timeout: &str, lb_policy: &str, sni: &str) -> String {
        let lanes: &[Lane] = match self {
            Self::Direct => &[DIRECT_HTTP1],
            Self::Identity => &[DIRECT_HTTP1, IDENTITY, IDENTITY_HTTP1],
        };
        lanes
            .iter()
            .map(|lane| lane.clusters(connect_timeout, lb_policy, sni))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The native choice of the lane, for the routes to the pool and for those to the peers.
    pub(crate) fn choices(self) -> String {
        let certificates = match self {
            Self::Direct => "",
            Self::Identity => include_str!("../templates/lane_certificates.yaml"),
        };
        let choice = |of| {
            let certificates = fill(certificates, &[("of", of)]);
            let values = [("of", of), ("certificates", &certificates)];
            fill(include_str!("../templates/lane_choice.yaml"), &values)
        };
        ["pool", "peers"].map(choice).concat()
    }
}

impl Lane {
    fn clusters(&self, connect_timeout: &str, lb_policy: &str, sni: &str) -> String {
        let (alpn, http) = match self.http {
            Http::One => ("http/1.1", "{http_protocol_options: {}}"),
            Http::Two => ("h2", "*server_http2"),
        };
        let (pool_claims, peers_claims) = match (self.vouches, self.http) {
            (false, _) => ("", ""),
            (true, Http::Two) => (include_str!("../templates/credential_id.yaml"), REFERENCE),
            (true, Http::One) => (REFERENCE, REFERENCE),
        };
        let (pool_keepalive, peers_keepalive) = match (self.vouches, self.http) {
            (_, Http::Two) => ("", ""),
            (false, Http::One) => (include_str!("../templates/tcp_keepalive.yaml"), KEEPALIVE),
            (true, Http::One) => (KEEPALIVE, KEEPALIVE),
        };
        let options = if self.vouches { FOR_A_WHILE } else { "*server_http" };
        let secret = self.vouches.then_some(FRONT_PROXY);
        fill(
            include_str!("../templates/lane.yaml"),
            &[
                ("lane", self.name),
                ("what", self.what),
                ("connect_timeout", connect_timeout),
                ("lb_policy", lb_policy),
                ("pool_keepalive", pool_keepalive),
                ("peers_keepalive", peers_keepalive),
                ("tls", &upstream_tls(self.name, alpn, sni, secret)),
                ("options", options),
                ("http", http),
                ("pool_claims", pool_claims),
                ("peers_claims", peers_claims),
            ],
        )
    }
}

/// A connection keeps the certificate that it was opened with, and a server looks at it with each
/// request: once rotated, the old one must not live on until it expires. Watches end by themselves.
const FOR_A_WHILE: &str =
    "{idle_timeout: 60s, max_headers_count: 1000, max_connection_duration: 300s}";
const REFERENCE: &str = "- *credential_id";
const KEEPALIVE: &str = "upstream_connection_options: *tcp_keepalive\n\
                         upstream_bind_config: *tcp_user_timeout";

/// The TLS of connections to the servers that differ from the first lane's: by `alpn`, or by showing
/// the certificate of an SDS secret.
pub(crate) fn upstream_tls(name: &str, alpn: &str, sni: &str, secret: Option<&str>) -> String {
    let certificate = secret.map_or_else(String::new, |secret| {
        fill(include_str!("../templates/upstream_certificate.yaml"), &[("secret", secret)])
    });
    fill(
        include_str!("../templates/upstream_tls.yaml"),
        &[("name", name), ("alpn", alpn), ("sni", sni), ("certificate", &certificate)],
    )
}
