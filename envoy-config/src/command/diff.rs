//! `peerway diff`: what each server serves that others do not.

use clap::Args;

use super::output::{Outcome, Output, print};
use super::servers::Servers;
use difference::Difference;

mod difference;
mod text;

/// Show what each server serves that others do not, down to subresources and verbs
///
/// What not every server serves is what a plain balancer answers with a false 404 now and then.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    #[command(flatten)]
    servers: Servers,
    /// Print text for people, or JSON for programs
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  What does an upgrade from 1.36 to 1.37 add?
    peerway diff --server old=1.36 --server new=1.37
  Is there skew right now?
    peerway diff --control-plane control-plane.yaml -o json | jq .skew

Exit codes: 0 all servers serve the same; 1 they do not, or one could not be read; 2 wrong usage.";

impl Diff {
    /// Prints the difference. An error is what to tell the caller.
    pub(crate) fn run(&self) -> Result<Outcome, String> {
        let plane = self.servers.read()?;
        if plane.known.len() < 2 {
            return Err(format!(
                "{} servers, two are needed; --server, --control-plane, --kubeconfig and --map name them",
                plane.known.len()
            ));
        }
        let difference = Difference::between(&plane.known)?;
        print(self.output, &difference, text::of)?;
        Ok(if difference.skew { Outcome::Differs } else { Outcome::Done })
    }
}
