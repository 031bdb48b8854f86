//! The directory of one control plane: a given one, which stays, or a temporary one, which goes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Folder {
    pub(super) fn create(given: Option<&Path>) -> Result<Self> {
        let Some(path) = given else {
            let temporary = tempfile::Builder::new().prefix("peerway-").tempdir();
            let temporary = temporary.context("cannot make a temporary folder")?;
            return Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        std::fs::create_dir_all(path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        let mut files = path
            .read_dir()
            .with_context(|| format!("cannot read the folder {}", path.display()))?;
        // etcd would go on with the data of a control plane whose certificates nobody has any more.
        if files.next().is_some() {
            bail!("{} is not empty: remove it, or name another folder", path.display());
        }
        // Processes have other working directories.
        let path = path.canonicalize().context("a folder without a path")?;
        Ok(Self { path, temporary: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the files where they are, also a temporary folder's.
    pub(super) fn keep(&mut self) {
        if let Some(temporary) = &mut self.temporary {
            temporary.disable_cleanup(true);
        }
    }
}
