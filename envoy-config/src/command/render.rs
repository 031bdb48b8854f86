//! `peerway render`: a control-plane file -> the configuration directory of an Envoy.

use std::path::{Path, PathBuf};

use clap::Args;
use envoy_config::{ControlPlane, render};

/// Turn a description of a control plane into an Envoy configuration directory
///
/// Start Envoy in that directory: envoy -c envoy.yaml
#[derive(Args)]
pub(crate) struct Render {
    /// The control-plane file; docs/configuration.md describes it
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Write the configuration there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only compare with what is there; the exit code is 1 when it differs
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
}

impl Render {
    pub(crate) fn run(&self) -> Result<(), String> {
        let rendered = render(&read_control_plane(&self.file)?);
        match (&self.target.out, &self.target.check) {
            (Some(directory), _) => rendered.write(directory).map_err(|error| error.to_string()),
            (None, Some(directory)) => no_drift(&rendered, directory),
            // Clap has one of the two or ends the program.
            (None, None) => Ok(()),
        }
    }
}

/// Reads a control-plane file; an error names every problem in it.
pub(crate) fn read_control_plane(file: &Path) -> Result<ControlPlane, String> {
    let place = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{place}: {error}"))?;
    ControlPlane::from_yaml(&text).map_err(|problems| {
        problems.0.iter().map(|problem| format!("{place}: {problem}\n")).collect::<String>()
    })
}

fn no_drift(rendered: &envoy_config::Rendered, directory: &Path) -> Result<(), String> {
    let drifts = rendered.drift(directory).map_err(|error| error.to_string())?;
    if drifts.is_empty() {
        return Ok(());
    }
    let place = directory.display();
    Err(drifts.iter().map(|drift| format!("{place}/{drift}\n")).collect())
}
