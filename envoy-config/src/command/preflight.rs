//! `peerway preflight`: whether a control plane is fit to have Peerway put in front of it, asked of its
//! real servers. What is asked is in `preflight::ask`, what it means in `envoy_config::preflight`.

use std::path::PathBuf;

use clap::Args;
use envoy_config::preflight::judge;

use super::output::{Outcome, Output, print};

mod ask;
mod text;
mod wire;

/// Check the real servers of a control-plane file before Peerway is put in front of them
///
/// Asks each server as Peerway would: with the fetcher's credential, with the front-proxy certificate
/// for a user without rights, and without credentials. Changes nothing.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Preflight {
    /// The control-plane file; docs/configuration.md describes it
    file: PathBuf,
    /// Look for callers that go past the balancer with the rights of this kubeconfig's user, not
    /// with the fetcher's
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Print text for people, or JSON for programs
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  Is this control plane fit? Run it where Envoy will run, as the user that Envoy will be:
    peerway preflight control-plane.yaml
  Also name the controllers and in-cluster clients that stay unprotected:
    peerway preflight control-plane.yaml --kubeconfig /etc/kubernetes/admin.conf
  What failed, for a script:
    peerway preflight control-plane.yaml -o json | jq '.findings[] | select(.verdict == \"failed\")'

Exit codes: 0 fit; 1 not fit, or the file cannot be read; 2 wrong usage.";

impl Preflight {
    /// Asks, judges and prints. An error is what to tell the caller.
    pub(crate) fn run(&self) -> Result<Outcome, String> {
        let report = judge(&ask::facts(&self.file, self.kubeconfig.as_deref())?);
        print(self.output, &report, text::of)?;
        Ok(if report.fit { Outcome::Done } else { Outcome::Differs })
    }
}
