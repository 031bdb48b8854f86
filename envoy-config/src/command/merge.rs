//! `peerway merge`: the documents of several servers -> the one that kube-apiserver's peer-aggregated
//! discovery makes of them. The merging is `peerway_core::merge`.

use std::io::{self, Write};

use clap::Args;
use peerway_core::discovery::{GroupVersion, Root};
use peerway_core::merge::{List, Member, Merged, etag, merge};
use peerway_core::negotiate::aggregated_type;

use super::servers::{Known, Servers};

/// Print the merged discovery document of all servers, as kube-apiserver 1.36 merges its peers'
///
/// A complete APIGroupDiscoveryList in JSON. The names of the servers stand for their ids: lists are
/// merged in the byte order of the names.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
// A running Peerway keeps no documents.
#[command(mut_arg("map", |map| map.hide(true)))]
pub(crate) struct Merge {
    #[command(flatten)]
    servers: Servers,
    /// The server that answers; its own document is printed when nothing differs [default: the first]
    #[arg(long, value_name = "NAME")]
    local: Option<String>,
    /// Leave this out of all but the local server's list, as the built-in proxy does with what CRDs
    /// and aggregated APIs own
    #[arg(long, value_name = "GROUP/VERSION", value_parser = group_version)]
    exclude: Vec<GroupVersion>,
    /// Merge /api, which no kube-apiserver does, instead of /apis
    #[arg(long)]
    core: bool,
    /// Print status, Content-Type and ETag first
    #[arg(long)]
    headers: bool,
}

const EXAMPLES: &str = "\
Examples:
  What would cp-1 answer, with the built-in proxy?
    peerway merge --server cp-1=1.36 --server cp-2=1.37 --local cp-1
  The same without what the CRDs of example.com own, and with its ETag:
    peerway merge --server cp-1=1.36 --server cp-2=1.37 --exclude example.com/v1 --headers

Exit codes: 0 done; 1 a document could not be read; 2 wrong usage.";

impl Merge {
    /// Prints the document. An error is what to tell the caller.
    pub(crate) fn run(&self) -> Result<(), String> {
        let plane = self.servers.read()?;
        let root = if self.core { Root::Core } else { Root::Named };
        let body = |known: &'_ Known| document(known, root).map(<[u8]>::to_vec);
        let bodies: Vec<Vec<u8>> = plane.known.iter().map(body).collect::<Result<_, _>>()?;
        let names = plane.known.iter().map(|known| known.name.as_str());
        let lists = names.clone().zip(&bodies).map(|(name, body)| {
            List::read(body).map_err(|error| format!("{name}: {}: {error}", root.path()))
        });
        let lists: Vec<List<'_>> = lists.collect::<Result<_, _>>()?;
        let Some(local) = self.local.as_deref().or(names.clone().next()) else {
            return Err("no servers; --server NAME=DIR names one".to_owned());
        };
        let members = names.clone().zip(&lists).map(|(id, list)| Member { id, list });
        let merged = merge(&members.collect::<Vec<_>>(), local, &self.exclude);
        let own = names.clone().position(|name| name == local);
        let own = own.and_then(|at| Some((lists.get(at)?, bodies.get(at)?)));
        let (Some(merged), Some((own_list, own_body))) = (merged, own) else {
            let known: Vec<_> = names.collect();
            return Err(format!("--local {local}: the servers are {}", known.join(", ")));
        };
        let failed = |error| format!("{local}: {error}");
        let (tag, body) = match &merged {
            Merged::Own => (etag(own_list).map_err(failed)?, own_body.clone()),
            Merged::Other(list) => (etag(list).map_err(failed)?, list.to_json().map_err(failed)?),
        };
        self.print(&tag, &body)
    }

    fn print(&self, tag: &str, body: &[u8]) -> Result<(), String> {
        let mut out = Vec::new();
        if self.headers {
            let content_type = aggregated_type("application/json", "v2");
            let headers = format!("HTTP/1.1 200 OK\nContent-Type: {content_type}\nETag: {tag}\n\n");
            out.extend_from_slice(headers.as_bytes());
        }
        out.extend_from_slice(body);
        if !body.ends_with(b"\n") {
            out.push(b'\n');
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(&out).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("standard output: {error}"))
            }
            _ => Ok(()),
        }
    }
}

fn document(known: &Known, root: Root) -> Result<&[u8], String> {
    known.documents.get(root).ok_or_else(|| {
        let path = root.path();
        format!(
            "{}: no aggregated document of {path}: a saved folder needs {}.json, a server must be \
             1.27 or newer, and a running Peerway keeps none",
            known.name,
            path.trim_start_matches('/')
        )
    })
}

fn group_version(text: &str) -> Result<GroupVersion, String> {
    match text.split_once('/') {
        Some((group, version)) if !version.is_empty() && !version.contains('/') => {
            Ok(GroupVersion { group: group.to_owned(), version: version.to_owned() })
        }
        _ => Err("not GROUP/VERSION, for example example.com/v1".to_owned()),
    }
}
