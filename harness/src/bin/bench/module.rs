//! The module that ships: its size, and what it lets its host call.

use anyhow::{Context, Result};
use peerway_harness::module::{self, Module};

use crate::results;

/// Builds it and looks.
pub(crate) fn measure() -> Result<results::Module> {
    let wasm = std::fs::read(Module::Shipped.build()?).context("cannot read the module")?;
    let exports = module::exports(&wasm)?;
    Ok(results::Module { bytes: u64::try_from(wasm.len())?, exports })
}
