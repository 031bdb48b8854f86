//! The wasm module as the tests and the demo run it: built by cargo from this tree, never an old one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Which build of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// The one that ships.
    Shipped,
    /// The same with the switch by which a test makes a VM panic.
    Panicking,
}

impl Module {
    /// Builds it if the tree changed since, and tells where it is.
    pub fn build(self) -> Result<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| root.join("target"));
        let (target, features): (_, &[&str]) = match self {
            Self::Shipped => (target, &[]),
            Self::Panicking => (target.join("test-panic"), &["--features", "test-panic"]),
        };
        let output = Command::new("cargo")
            .args(["build", "--quiet", "--package", "peerway-filter", "--profile", "wasm"])
            .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
            .arg(&target)
            .args(features)
            .current_dir(&root)
            .output()
            .context("cannot run cargo to build the wasm module")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the wasm module does not build:\n{words}");
        let module = target.join("wasm32-unknown-unknown/wasm/peerway.wasm");
        module.canonicalize().with_context(|| format!("cargo left no {}", module.display()))
    }
}
