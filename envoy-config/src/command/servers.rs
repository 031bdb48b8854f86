//! Where servers and what they list come from: the flags that say so -> servers.
//!
//! Saved documents are here, live servers in `servers::live`, a running Peerway in `servers::running`.

pub(crate) mod kubeconfig;
pub(crate) mod live;
mod running;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use peerway_core::apis::Apis;
use peerway_core::cluster::{self, Source};
use peerway_core::decide::Knowledge;
use peerway_core::discovery::{ACCEPT, Root, read_aggregated};
use peerway_core::servers::{MAX_SERVERS, Server};
use peerway_core::serving_map::{ServingMap, Standing, View, build};
use peerway_core::snapshot;

use super::output::complain;

/// The servers of a command, from one kind of source.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").multiple(true)))]
pub(crate) struct Servers {
    /// A server, and the folder with its discovery: api.json and apis.json, aggregated
    #[arg(long = "server", value_name = "NAME=DIR", value_parser = named_folder, group = "source")]
    folders: Vec<(String, PathBuf)>,
    /// Ask the servers of a control-plane file, with the fetcher's credential
    #[arg(long, value_name = "FILE", group = "source",
        conflicts_with_all = ["folders", "kubeconfig", "map"])]
    control_plane: Option<PathBuf>,
    /// Ask the server of a kubeconfig's current context; without a name it has its cluster's
    #[arg(long, value_name = "[NAME=]FILE", group = "source", value_parser = named_kubeconfig,
        conflicts_with_all = ["folders", "map"])]
    kubeconfig: Vec<Kubeconfig>,
    /// Take what a running Peerway knows, from its loopback listener
    #[arg(long, value_name = "URL", group = "source", value_parser = listener_url,
        conflicts_with = "folders")]
    map: Option<String>,
}

/// A kubeconfig, and how its server is called.
#[derive(Debug, Clone)]
struct Kubeconfig {
    name: Option<String>,
    file: PathBuf,
}

/// A server, as far as it is known.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// `ip:port` or a URL; empty for saved documents.
    pub(crate) address: String,
    pub(crate) standing: Standing,
    /// `None` if it was never read.
    pub(crate) apis: Option<Apis>,
    pub(crate) documents: Documents,
    /// When it was read, by a clock that all servers of one command share.
    read_ms: u64,
}

/// The aggregated documents of one server, as they were answered.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    core: Option<Vec<u8>>,
    named: Option<Vec<u8>>,
}

/// All servers of a command.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) known: Vec<Known>,
    pub(crate) servers: Vec<Server>,
    /// `None` while a running Peerway has none.
    map: Option<ServingMap>,
}

impl Servers {
    /// Whether any was named.
    pub(crate) fn is_given(&self) -> bool {
        !self.folders.is_empty()
            || self.control_plane.is_some()
            || !self.kubeconfig.is_empty()
            || self.map.is_some()
    }

    /// Every server, in order. An error names the file or the server.
    pub(crate) fn read(&self) -> Result<Plane, String> {
        let (known, has_map) = match (&self.control_plane, &self.map) {
            (Some(file), _) => (live::of_control_plane(file)?, true),
            (None, Some(url)) => running::of_map(url)?,
            (None, None) if !self.kubeconfig.is_empty() => {
                (live::of_kubeconfigs(&self.kubeconfig)?, true)
            }
            (None, None) => {
                let read = |(name, folder): &(String, PathBuf)| read_folder(name, folder);
                (self.folders.iter().map(read).collect::<Result<_, _>>()?, true)
            }
        };
        Plane::of(known, has_map)
    }
}

impl Plane {
    fn of(known: Vec<Known>, has_map: bool) -> Result<Self, String> {
        if known.len() > MAX_SERVERS {
            return Err(format!("{} servers; {MAX_SERVERS} are possible", known.len()));
        }
        for (at, server) in known.iter().enumerate() {
            if known.iter().take(at).any(|other| other.name == server.name) {
                return Err(format!(
                    "two servers are called {}; NAME= tells them apart",
                    server.name
                ));
            }
        }
        let server =
            |known: &Known| Server { name: known.name.clone(), address: known.address.clone() };
        let servers: Vec<_> = known.iter().map(server).collect();
        let view = |known: &'_ Known| View {
            standing: known.standing,
            apis: None,
            read_ms: known.read_ms,
        };
        let views: Vec<_> =
            known.iter().map(|known| View { apis: known.apis.as_ref(), ..view(known) }).collect();
        let mut rows = build(&views);
        for root in [Root::Core, Root::Named] {
            let sources: Vec<_> = known.iter().map(|known| known.source(root)).collect();
            // A running Peerway shows no documents: what it lists has to do then.
            if sources.iter().flatten().all(|source| !source.body.is_empty()) {
                cluster::settle(root, &sources, &mut rows)
                    .map_err(|error| format!("{}: {error}", root.path()))?;
            }
        }
        let map = snapshot::decode(snapshot::encode(&servers, &rows), &servers)
            .map_err(|error| format!("the servers make no map: {error}"))?;
        Ok(Self { known, servers, map: has_map.then_some(map) })
    }

    /// What a decision is made by.
    pub(crate) fn knowledge(&self) -> Knowledge<'_> {
        self.map.as_ref().map_or(Knowledge::NoMap, Knowledge::Map)
    }

    /// The map, if there is one.
    pub(crate) fn map(&self) -> Option<&ServingMap> {
        self.map.as_ref()
    }
}

impl Known {
    fn source(&self, root: Root) -> Option<Source<'_>> {
        let body = self.documents.get(root).unwrap_or_default();
        self.apis.as_ref()?;
        Some(Source { name: &self.name, standing: self.standing, body })
    }

    /// A server that was read just now.
    fn confirmed(name: String, address: String, apis: Apis, documents: Documents) -> Self {
        let standing = Standing::Confirmed;
        Self { name, address, standing, apis: Some(apis), documents, read_ms: 1 }
    }
}

impl Documents {
    pub(crate) fn get(&self, root: Root) -> Option<&[u8]> {
        match root {
            Root::Core => self.core.as_deref(),
            Root::Named => self.named.as_deref(),
        }
    }

    fn set(&mut self, root: Root, body: Vec<u8>) {
        match root {
            Root::Core => self.core = Some(body),
            Root::Named => self.named = Some(body),
        }
    }
}

fn named_folder(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
            Ok((name.to_owned(), folder.into()))
        }
        _ => Err("not NAME=DIR, for example cp-1=saved/cp-1".to_owned()),
    }
}

/// Where something listens for plain HTTP, without a slash at its end; `127.0.0.1:15190` is enough.
pub(crate) fn listener_url(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    match text.split_once("://") {
        None if !text.is_empty() => Ok(format!("http://{text}")),
        Some(("http", address)) if !address.is_empty() => Ok(text.to_owned()),
        _ => Err("not the URL of a listener, for example http://127.0.0.1:15190".to_owned()),
    }
}

fn named_kubeconfig(text: &str) -> Result<Kubeconfig, String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !name.contains('/') && !file.is_empty() => {
            Ok(Kubeconfig { name: Some(name.to_owned()), file: file.into() })
        }
        _ if text.is_empty() => Err("a file is needed".to_owned()),
        _ => Ok(Kubeconfig { name: None, file: text.into() }),
    }
}

fn read_folder(name: &str, folder: &Path) -> Result<Known, String> {
    let mut apis = Apis::default();
    let mut documents = Documents::default();
    for (root, file) in [(Root::Core, "api.json"), (Root::Named, "apis.json")] {
        let file = folder.join(file);
        match std::fs::read(&file) {
            Ok(body) => {
                add_document(root, &body, &file.display(), &mut apis)?;
                documents.set(root, body);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {}
            Err(error) => return Err(format!("{}: {error}", file.display())),
        }
    }
    match (&documents.core, &documents.named) {
        (None, None) => {
            return Err(format!(
                "{}: neither api.json nor apis.json is there; save them with the header\n  \
                 Accept: {ACCEPT}",
                folder.display()
            ));
        }
        (None, _) => complain(&format!("{name}: no api.json, so nothing of its core group counts")),
        (_, None) => complain(&format!("{name}: no apis.json, so only its core group counts")),
        _ => {}
    }
    Ok(Known::confirmed(name.to_owned(), String::new(), apis, documents))
}

/// Adds what an aggregated document lists; `place` says where it is from.
fn add_document(
    root: Root,
    body: &[u8],
    place: &dyn Display,
    apis: &mut Apis,
) -> Result<(), String> {
    let reading = read_aggregated(root, body, &Apis::default()).map_err(|error| {
        format!(
            "{place}: {error}; an aggregated document is needed, asked for with\n  Accept: {ACCEPT}"
        )
    })?;
    for problem in &reading.problems {
        complain(&format!("{place}: {problem}"));
    }
    apis.keep_from(&reading.apis, |_| true);
    Ok(())
}
