//! The wasm module as the tests, the demo and the benchmarks run it: built by cargo from this tree,
//! never an old one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasmparser::{Parser, Payload};

/// Which build of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// The one that ships.
    Shipped,
    /// The same with the switch by which a test makes a VM panic.
    Panicking,
    /// Another one, which does nothing: what Peerway's cost is compared with.
    Empty,
}

impl Module {
    /// Builds it if the tree changed since, and tells where it is.
    pub fn build(self) -> Result<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| root.join("target"));
        let (target, package, features, file): (_, _, &[&str], _) = match self {
            Self::Shipped => (target, "peerway-filter", &[], "peerway.wasm"),
            Self::Panicking => {
                let features = &["--features", "test-panic"];
                (target.join("test-panic"), "peerway-filter", features, "peerway.wasm")
            }
            Self::Empty => (target.join("empty-filter"), "empty-filter", &[], "empty.wasm"),
        };
        let mut cargo = Command::new("cargo");
        if self == Self::Empty {
            // With all callbacks, as anybody's would be.
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "rust-lld");
        }
        let output = cargo
            .args(["build", "--quiet", "--profile", "wasm", "--package", package])
            .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
            .arg(&target)
            .args(features)
            .current_dir(&root)
            .output()
            .context("cannot run cargo to build the wasm module")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the wasm module does not build:\n{words}");
        let module = target.join("wasm32-unknown-unknown/wasm").join(file);
        module.canonicalize().with_context(|| format!("cargo left no {}", module.display()))
    }
}

/// What a module lets its host call and see, in its order.
pub fn exports(wasm: &[u8]) -> Result<Vec<String>> {
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(section) = payload? {
            for export in section {
                exports.push(export?.name.to_owned());
            }
        }
    }
    Ok(exports)
}
