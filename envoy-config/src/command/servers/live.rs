//! Live servers -> what they list: their discovery, asked for as the fetcher does.

use std::fmt::Display;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use envoy_config::{Identity, Reach};
use peerway_core::apis::Apis;
use peerway_core::discovery::{
    ACCEPT, Form, MAX_DOCUMENT_BYTES, Reading, Root, read_group_versions, read_resources,
};
use ureq::config::Config;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use super::kubeconfig;
use super::{Documents, Known, Kubeconfig, add_document};
use crate::command::render::read_control_plane;

/// For a server of a kubeconfig, and for the loopback listener.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One server that can be asked.
pub(crate) struct Live {
    pub(super) name: String,
    /// Shown to people.
    pub(super) address: String,
    /// `https://host:port`, without a path.
    pub(super) base: String,
    pub(super) token: Option<String>,
    pub(super) agent: Agent,
}

/// How a server's certificate is verified, and the client's own.
pub(crate) struct Tls {
    pub(crate) roots: RootCerts,
    pub(crate) own: Option<ClientCert>,
    /// Skips verification: only where the caller's own file says so.
    pub(crate) insecure: bool,
}

/// What is asked: a GET, or with a body a POST.
pub(crate) struct Question<'a> {
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a str>,
}

/// Asks all servers of a control-plane file, at the same time.
pub(super) fn of_control_plane(file: &Path) -> Result<Vec<Known>, String> {
    let control_plane = read_control_plane(file)?;
    let reach = control_plane.reach();
    let (token, own) = match reach.identity {
        Identity::TokenFile(path) => (Some(read_token(path)?), None),
        Identity::Certificate { certificate, key } => {
            (None, Some(client_certificate(&read(certificate)?, &read(key)?, certificate)?))
        }
    };
    let roots = roots(&read(reach.ca)?, reach.ca)?;
    let live = |server: &(&str, SocketAddr)| {
        let tls = Tls { roots: roots.clone(), own: own.clone(), insecure: false };
        of_server(&reach, *server, tls, token.clone(), reach.timeout)
    };
    ask_all(reach.servers.iter().map(live).collect())
}

/// One of the servers that a control-plane file names, asked by whom `tls` and `token` say.
pub(crate) fn of_server(
    reach: &Reach<'_>,
    (name, address): (&str, SocketAddr),
    tls: Tls,
    token: Option<String>,
    timeout: Duration,
) -> Live {
    // IPv6 addresses stand in brackets in a URL.
    let host = match reach.server_name.contains(':') {
        true => format!("[{}]", reach.server_name),
        false => reach.server_name.clone(),
    };
    Live {
        name: name.to_owned(),
        address: address.to_string(),
        base: format!("https://{host}:{}", address.port()),
        token,
        agent: agent(tls, timeout, Some(address)),
    }
}

/// Asks the server of each kubeconfig's current context.
pub(super) fn of_kubeconfigs(kubeconfigs: &[Kubeconfig]) -> Result<Vec<Known>, String> {
    let live = |kubeconfig: &Kubeconfig| {
        let live = kubeconfig::read(&kubeconfig.file)?;
        Ok(Live { name: kubeconfig.name.clone().unwrap_or(live.name), ..live })
    };
    ask_all(kubeconfigs.iter().map(live).collect::<Result<_, String>>()?)
}

/// The answer of a loopback listener, which speaks plain HTTP.
pub(super) fn ask_loopback(url: &str) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn Display| format!("{url}: {error}; is Peerway's listener there?");
    let agent: Agent = Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    let answer = agent.get(url).call().map_err(|error| failed(&error))?;
    body_of(answer).map_err(|error| failed(&error))
}

pub(super) fn agent(tls: Tls, timeout: Duration, address: Option<SocketAddr>) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(tls.roots)
        .client_cert(tls.own)
        .disable_verification(tls.insecure)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // A server redirects nothing that is asked here, and a token must not follow.
        .max_redirects(0)
        .proxy(None)
        .build();
    match address {
        Some(address) => Agent::with_parts(config, DefaultConnector::default(), Fixed(address)),
        None => config.into(),
    }
}

pub(crate) fn roots(pem: &[u8], place: &str) -> Result<RootCerts, String> {
    Ok(RootCerts::new_with_certs(&certificates(pem, place)?))
}

pub(crate) fn client_certificate(
    chain: &[u8],
    key: &[u8],
    place: &str,
) -> Result<ClientCert, String> {
    let key = PrivateKey::from_pem(key)
        .map_err(|error| format!("the key that belongs to {place}: {error}"))?;
    Ok(ClientCert::new_with_certs(&certificates(chain, place)?, key))
}

pub(crate) fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

pub(crate) fn read_token(path: &str) -> Result<String, String> {
    let token = String::from_utf8(read(path)?).map_err(|_| format!("{path}: not text"))?;
    match token.trim() {
        "" => Err(format!("{path}: empty, a bearer token is needed")),
        token => Ok(token.to_owned()),
    }
}

fn certificates(pem: &[u8], place: &str) -> Result<Vec<Certificate<'static>>, String> {
    let items = parse_pem(pem).collect::<Result<Vec<_>, _>>();
    let items = items.map_err(|error| format!("{place}: {error}"))?;
    let found = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    match found.collect::<Vec<_>>() {
        found if found.is_empty() => Err(format!("{place}: no certificate in it, PEM is needed")),
        found => Ok(found),
    }
}

fn ask_all(servers: Vec<Live>) -> Result<Vec<Known>, String> {
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            servers.iter().map(|server| scope.spawn(move || server.read())).collect();
        let answers = asked.into_iter().zip(&servers).map(|(answer, server)| {
            answer.join().map_err(|_| format!("{}: could not be asked", server.name))?
        });
        answers.collect()
    })
}

impl Live {
    fn read(&self) -> Result<Known, String> {
        let mut apis = Apis::default();
        let mut documents = Documents::default();
        for root in [Root::Core, Root::Named] {
            let (form, body) = self.get(root.path(), ACCEPT)?;
            match form {
                Form::Aggregated => {
                    add_document(root, &body, &self.place(root.path()), &mut apis)?;
                    documents.set(root, body);
                }
                Form::Plain => self.add_plain(root, &body, &mut apis)?,
            }
        }
        Ok(Known::confirmed(self.name.clone(), self.address.clone(), apis, documents))
    }

    /// The way of servers before 1.27: one question for each group-version.
    fn add_plain(&self, root: Root, body: &[u8], apis: &mut Apis) -> Result<(), String> {
        let failed = |path: &str, error: &dyn Display| format!("{}: {error}", self.place(path));
        let group_versions =
            read_group_versions(root, body).map_err(|error| failed(root.path(), &error))?;
        let mut reading = Reading::default();
        for group_version in &group_versions {
            let path = group_version.path();
            let (_, body) = self.get(&path, "application/json")?;
            read_resources(group_version, &body, &mut reading)
                .map_err(|error| failed(&path, &error))?;
        }
        apis.keep_from(&reading.apis, |_| true);
        Ok(())
    }

    fn get(&self, path: &str, accept: &str) -> Result<(Form, Vec<u8>), String> {
        let failed = |error: &dyn Display| format!("{}: {error}", self.place(path));
        let question = Question { path, headers: &[("accept", accept)], body: None };
        let answer = self.ask(&question).map_err(|error| failed(&error))?;
        match answer.status().as_u16() {
            200 => {}
            401 => return Err(failed(&"401: the server does not know this token or certificate")),
            403 => return Err(failed(&"403: who asks needs the right to get /api and /apis")),
            status => return Err(failed(&format!("answered {status}"))),
        }
        let content_type = answer.headers().get("content-type").map(|value| value.as_bytes());
        let form = Form::of(content_type.unwrap_or_default()).map_err(|error| failed(&error))?;
        Ok((form, body_of(answer).map_err(|error| failed(&error))?))
    }

    /// Asks, whatever the answer's status. An error says what kept the answer away.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Result<Response<Body>, String> {
        let Question { path, headers, body } = question;
        let mut request = Request::builder().uri(format!("{}{path}", self.base));
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let run = |request: Request<&str>| self.agent.run(request);
        let answer = match body {
            Some(body) => request.method("POST").body(*body).map(run),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        answer.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    fn place(&self, path: &str) -> String {
        format!("{} ({}) {path}", self.name, self.address)
    }
}

/// The body of an answer, one byte more than is read of a document where it is longer.
pub(crate) fn body_of(mut answer: Response<Body>) -> Result<Vec<u8>, std::io::Error> {
    let mut body = Vec::new();
    let mut reader = answer.body_mut().as_reader().take(MAX_DOCUMENT_BYTES as u64 + 1);
    reader.read_to_end(&mut body)?;
    Ok(body)
}

/// Every name is at one address: certificates are for a name that no resolver knows.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolver for Fixed {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}
