//! Where servers' discovery comes from: the flags that say so -> what each server lists.

use std::path::{Path, PathBuf};

use clap::Args;
use peerway_core::apis::Apis;
use peerway_core::discovery::{Root, read_aggregated};

/// The servers of a command that compares some.
#[derive(Debug, Args)]
pub(crate) struct Servers {
    /// A server, and the folder with its discovery: api.json and apis.json, aggregated
    #[arg(long = "server", value_name = "NAME=DIR", value_parser = named_folder)]
    folders: Vec<(String, PathBuf)>,
}

impl Servers {
    /// What each server lists, in order. An error names the file.
    pub(crate) fn read(&self) -> Result<Vec<(String, Apis)>, String> {
        let read = |(name, folder): &(String, PathBuf)| Ok((name.clone(), read_folder(folder)?));
        self.folders.iter().map(read).collect()
    }
}

fn named_folder(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
            Ok((name.to_owned(), folder.into()))
        }
        _ => Err("not NAME=DIR".to_owned()),
    }
}

fn read_folder(folder: &Path) -> Result<Apis, String> {
    let mut apis = Apis::default();
    for (root, name) in [(Root::Core, "api.json"), (Root::Named, "apis.json")] {
        let file = folder.join(name);
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let body = std::fs::read(&file).map_err(|error| failed(&error))?;
        let reading =
            read_aggregated(root, &body, &Apis::default()).map_err(|error| failed(&error))?;
        if let Some(problem) = reading.problems.first() {
            return Err(failed(problem));
        }
        apis.keep_from(&reading.apis, |_| true);
    }
    Ok(apis)
}
