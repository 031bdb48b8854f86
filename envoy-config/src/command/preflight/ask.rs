//! Everything that a preflight asks: the files that the control-plane file names, and its servers, all
//! at the same time -> facts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use envoy_config::preflight::{
    Answer, Asked, CREDENTIAL_ID, Certificate, Encoding, Facts, FrontProxy, Own, OwnFile,
    PROBE_GROUPS, PROBE_UID, PROBE_USER, Past, ServerFacts, Validity,
};
use envoy_config::{Identity, Reach};
use peerway_core::discovery::{ACCEPT, API_SERVICES};

use super::wire::{self, Door};
use crate::command::render::read_control_plane;
use crate::command::servers::kubeconfig;
use crate::command::servers::live::{self, Live, Question, Tls};

/// Nobody waits longer for one answer, whatever the fetcher does.
const TIMEOUT: Duration = Duration::from_secs(10);

const REVIEW_PATH: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEW: &str = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
const ENDPOINTS_PATH: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?\
    labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes";
const AUTHENTICATION_PATH: &str =
    "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const LEASES_PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

/// What the fetcher needs.
const FETCHED: [(&str, &str); 5] = [
    ("/readyz", "*/*"),
    ("/version", "application/json"),
    ("/api", ACCEPT),
    ("/apis", ACCEPT),
    // Where servers differ.
    ("/openapi/v3", "application/json"),
];
/// What somebody without credentials is tried with.
const TRIED: [&str; 5] = ["/readyz", "/version", "/api", "/apis", "/api/v1/namespaces?limit=1"];

/// Reads and asks everything. An error says why nothing could be asked at all.
pub(super) fn facts(file: &Path, past_as: Option<&Path>) -> Result<Facts, String> {
    let control_plane = read_control_plane(file)?;
    let reach = control_plane.reach();
    let credentials = Credentials::read(&reach);
    let past_as = past_as.map(kubeconfig::read).transpose()?;
    let mut servers = std::thread::scope(|scope| {
        let (reach, credentials) = (&reach, &credentials);
        let ask = |(name, address)| {
            scope.spawn(move || Asker { name, address, reach, credentials }.server())
        };
        let asked: Vec<_> = reach.servers.iter().copied().map(ask).collect();
        let joined = asked.into_iter().map(|asked| asked.join().map_err(|_| "a thread ended"));
        joined.collect::<Result<Vec<_>, _>>()
    })?;
    let (past, authentication) = cluster(&reach, &credentials, past_as, &servers);
    for (server, (name, address)) in servers.iter_mut().zip(&reach.servers) {
        (server.name, server.address) = ((*name).to_owned(), address.to_string());
    }
    Ok(Facts {
        now_s: now().as_secs(),
        own: own_files(&reach),
        client_ca: reach.client_ca.map(|path| authorities(&live::read(path)?)),
        front_proxy: reach.front_proxy.map(|(path, _)| Certificate::from_pem(&live::read(path)?)),
        servers,
        authentication,
        past,
    })
}

/// What Peerway proves by who it is, and what it verifies servers by, as far as it can be used.
struct Credentials {
    token: Option<String>,
    /// Certificate and key, PEM.
    fetcher: Option<(Vec<u8>, Vec<u8>)>,
    front_proxy: Option<(Vec<u8>, Vec<u8>)>,
    ca: Result<Vec<u8>, String>,
}

impl Credentials {
    fn read(reach: &Reach<'_>) -> Self {
        let pair = |certificate, key| {
            let pair = (live::read(certificate).ok()?, live::read(key).ok()?);
            wire::fits(&pair.0, &pair.1).is_ok().then_some(pair)
        };
        let (token, fetcher) = match reach.identity {
            Identity::TokenFile(path) => (live::read_token(path).ok(), None),
            Identity::Certificate { certificate, key } => (None, pair(certificate, key)),
        };
        let front_proxy = reach.front_proxy.and_then(|(certificate, key)| pair(certificate, key));
        let ca = live::read(reach.ca);
        let ca = ca.and_then(|pem| live::roots(&pem, reach.ca).map(|_| pem));
        Self { token, fetcher, front_proxy, ca }
    }
}

/// One server, and how it is asked.
struct Asker<'a> {
    name: &'a str,
    address: SocketAddr,
    reach: &'a Reach<'a>,
    credentials: &'a Credentials,
}

impl Asker<'_> {
    fn server(&self) -> ServerFacts {
        let mut facts = ServerFacts::default();
        if self.credentials.ca.is_err() {
            return facts;
        }
        let wire = self.wire();
        let may_ask = wire.as_ref().is_ok_and(|wire| wire.untrusted.is_none());
        facts.wire = Some(wire);
        if may_ask && let Err(why) = self.ask_all(&mut facts) {
            facts.wire = Some(Err(why));
        }
        facts
    }

    fn timeout(&self) -> Duration {
        self.reach.timeout.min(TIMEOUT)
    }

    fn wire(&self) -> Result<envoy_config::preflight::Wire, String> {
        let Credentials { token, fetcher, ca, .. } = self.credentials;
        let own =
            fetcher.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()));
        wire::look(&Door {
            address: self.address,
            server_name: &self.reach.server_name,
            ca: ca.as_deref().map_err(Clone::clone)?,
            own,
            token: token.as_deref(),
            timeout: self.timeout(),
        })
    }

    fn ask_all(&self, facts: &mut ServerFacts) -> Result<(), String> {
        let Credentials { token, fetcher, front_proxy, .. } = self.credentials;
        let by_fetcher = self.as_somebody(fetcher.as_ref(), token.clone())?;
        facts.fetcher = FETCHED.map(|(path, accept)| (path, get(&by_fetcher, path, accept))).into();
        facts.api_services = Some(get(&by_fetcher, API_SERVICES, "application/json"));
        facts.fetcher_review = Some(review(&by_fetcher, &[]));
        facts.unknown = Encoding::ALL
            .map(|encoding| {
                let (path, accept) = encoding.question();
                (encoding, get(&by_fetcher, &path, accept))
            })
            .into();
        let nobody = self.as_somebody(None, None)?;
        facts.anonymous = TRIED.map(|path| (path, get(&nobody, path, "application/json"))).into();
        if let Some(pair) = front_proxy {
            let alone = self.as_somebody(Some(pair), None)?;
            let with_token = match token {
                Some(token) => Some(self.as_somebody(Some(pair), Some(token.clone()))?),
                None => None,
            };
            facts.front_proxy = Some(FrontProxy {
                as_user: review(&alone, &probe()),
                alone: review(&alone, &[]),
                with_token: with_token.map(|by_both| review(&by_both, &[])),
            });
        }
        Ok(())
    }

    fn as_somebody(
        &self,
        pair: Option<&(Vec<u8>, Vec<u8>)>,
        token: Option<String>,
    ) -> Result<Live, String> {
        let Reach { ca, .. } = self.reach;
        let pem = self.credentials.ca.as_deref().map_err(Clone::clone)?;
        let own = pair.map(|(certificate, key)| {
            live::client_certificate(certificate, key, "a client certificate")
        });
        let tls = Tls { roots: live::roots(pem, ca)?, own: own.transpose()?, insecure: false };
        Ok(live::of_server(self.reach, (self.name, self.address), tls, token, self.timeout()))
    }
}

/// The headers of the probe's user.
fn probe() -> Vec<(String, &'static str)> {
    let extra = CREDENTIAL_ID.replace('/', "%2f");
    let groups = PROBE_GROUPS.map(|group| ("x-remote-group".to_owned(), group));
    let mut headers = vec![
        ("x-remote-user".to_owned(), PROBE_USER),
        ("x-remote-uid".to_owned(), PROBE_UID),
        (format!("x-remote-extra-{extra}"), PROBE_UID),
    ];
    headers.extend(groups);
    headers
}

fn review(live: &Live, headers: &[(String, &str)]) -> Asked {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), *value));
    let content_type = ("content-type", "application/json");
    let headers: Vec<_> = headers.chain([content_type, ("accept", "application/json")]).collect();
    ask(live, &Question { path: REVIEW_PATH, headers: &headers, body: Some(REVIEW) })
}

fn get(live: &Live, path: &str, accept: &str) -> Asked {
    ask(live, &Question { path, headers: &[("accept", accept)], body: None })
}

fn ask(live: &Live, question: &Question<'_>) -> Asked {
    let sent_s = now().as_secs_f64();
    let answer = live.ask(question)?;
    let came_s = now().as_secs_f64();
    let header = |name: &str| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let dated = header("date").and_then(|date| httpdate::parse_http_date(&date).ok());
    let (status, content_type) = (answer.status().as_u16(), header("content-type"));
    let content_length = header("content-length").and_then(|length| length.parse().ok());
    let body = live::body_of(answer).map_err(|error| error.to_string())?;
    Ok(Answer {
        status,
        content_type: content_type.unwrap_or_default(),
        content_length,
        date_s: dated.and_then(|date| Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())),
        asked_s: (sent_s, came_s),
        body,
    })
}

/// Asks the first server that answers, or the kubeconfig's.
fn cluster(
    reach: &Reach<'_>,
    credentials: &Credentials,
    past_as: Option<Live>,
    servers: &[ServerFacts],
) -> (Past, Option<Asked>) {
    let balancer = reach.listen.to_string();
    let (live, asked_as) = match past_as {
        Some(live) => (Some(live), "the kubeconfig's user"),
        None => {
            let open = |server: &ServerFacts| !server.fetcher.is_empty();
            let first = reach.servers.iter().zip(servers).find(|(_, server)| open(server));
            let live = first.and_then(|((name, address), _)| {
                let asker = Asker { name, address: *address, reach, credentials };
                asker.as_somebody(credentials.fetcher.as_ref(), credentials.token.clone()).ok()
            });
            (live, "the fetcher")
        }
    };
    let list = |path| live.as_ref().map(|live| get(live, path, "application/json"));
    let asked_as = asked_as.to_owned();
    let (endpoints, leases) = (list(ENDPOINTS_PATH), list(LEASES_PATH));
    (Past { asked_as, endpoints, leases, balancer }, list(AUTHENTICATION_PATH))
}

fn own_files(reach: &Reach<'_>) -> Vec<OwnFile> {
    let authorities = |field, path| {
        let found = read(path).and_then(|pem| authorities(&pem));
        own_file(field, path, found.map(Own::Authorities))
    };
    let module = |bytes: Vec<u8>| match bytes.starts_with(b"\0asm") {
        true => Ok(Own::Module(bytes.len())),
        false => Err("no WebAssembly module".to_owned()),
    };
    let mut files = own_pair(["listen.certificate", "listen.key"], reach.listen_pair).to_vec();
    match reach.identity {
        Identity::TokenFile(path) => {
            let token = read(path).and_then(|token| token_validity(&token));
            files.push(own_file("fetcher.tokenFile", path, token.map(Own::Credential)));
        }
        Identity::Certificate { certificate, key } => {
            let fields = ["fetcher.clientCertificate.certificate", "fetcher.clientCertificate.key"];
            files.extend(own_pair(fields, (certificate, key)));
        }
    }
    if let Some(paths) = reach.front_proxy {
        files.extend(own_pair(["frontProxy.certificate", "frontProxy.key"], paths));
    }
    files.extend(reach.client_ca.map(|path| authorities("listen.clientCa", path)));
    files.push(authorities("serversTls.ca", reach.ca));
    files.push(own_file("wasm", reach.module, read(reach.module).and_then(module)));
    files
}

fn own_file(field: &'static str, path: &str, found: Result<Own, String>) -> OwnFile {
    OwnFile { field, path: path.to_owned(), found }
}

/// A certificate, and the key that is to be its.
fn own_pair(fields: [&'static str; 2], (certificate, key): (&str, &str)) -> [OwnFile; 2] {
    let chain = read(certificate);
    let first = chain.clone().and_then(|pem| Certificate::from_pem(&pem));
    let fits = match chain {
        Ok(chain) if first.is_ok() => read(key).and_then(|key| wire::fits(&chain, &key)),
        // Whether it fits what cannot be read is not known.
        _ => read(key).map(drop),
    };
    let first = first.map(|first| Own::Credential(first.validity()));
    [own_file(fields[0], certificate, first), own_file(fields[1], key, fits.map(|()| Own::Key))]
}

/// One or more.
fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let found = Certificate::all_from_pem(pem)?;
    match found.is_empty() {
        true => Err("no certificate in it, PEM is needed".to_owned()),
        false => Ok(found),
    }
}

/// The file beside its name already: without the path in front of the problem.
fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| error.to_string())
}

/// From when and until when a token is good, if it tells.
fn token_validity(token: &[u8]) -> Result<Validity, String> {
    let token = str::from_utf8(token).map_err(|_| "not text")?.trim();
    if token.is_empty() {
        return Err("empty, a bearer token is needed".to_owned());
    }
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: serde_json::Value =
        payload.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let number = |name: &str| claims.get(name).and_then(serde_json::Value::as_u64);
    Ok(Validity { start_s: number("nbf"), end_s: number("exp") })
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_until_when_it_is_good_or_nothing() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1800000000,"nbf":1700000000}"#);
        let token = format!("e30.{claims}.signature\n");
        let validity = Validity { start_s: Some(1_700_000_000), end_s: Some(1_800_000_000) };
        assert_eq!(token_validity(token.as_bytes()), Ok(validity));
        for opaque in ["abc", "a.b.c", "a.e30.c", "31ada4fd-adec-460c-809a-9e56ceb75269"] {
            assert_eq!(token_validity(opaque.as_bytes()), Ok(Validity::default()), "{opaque}");
        }
        assert!(token_validity(b" \n").is_err() && token_validity(b"\xff").is_err());
    }
}
