//! Leaves everything running, for a person to try things: two kubeconfigs, and what to type.

use anyhow::{Context, Result};
use peerway_harness::parts::{self, Part};
use tokio::sync::oneshot;

use crate::screen::{Screen, Tone};
use crate::stage::{OLD, OLD_SERVERS, Stage, Way};

/// Makes the servers differ again, says how to use them, and waits for Enter.
pub(crate) async fn keep_running(stage: &Stage, screen: &Screen) -> Result<()> {
    screen.heading("Yours to try")?;
    let what = format!("{} become {OLD} again, to make a difference", OLD_SERVERS.join(" and "));
    let set_back = async {
        for server in OLD_SERVERS {
            stage.plane.replace_with(server, OLD).await?;
        }
        stage.entrance(Way::Peerway).balancer.all_confirmed().await
    };
    screen.during(&what, set_back).await?;
    let peerway = stage.entrance(Way::Peerway);
    let _controllers = stage.plane.controller_manager(&peerway.kubeconfig).await?;
    screen.text("kube-controller-manager runs, through Peerway.")?;

    let kubectl = parts::ensure(&Part::kubectl()).await?;
    let fetcher = peerway.balancer.fetcher()?.address();
    let mut commands = vec![format!("alias kubectl={}", kubectl.display())];
    for way in Way::BOTH {
        let kubeconfig = stage.entrance(way).kubeconfig.path();
        commands.push(format!("export KUBECONFIG={}", kubeconfig.display()));
        commands.push("for i in 1 2 3 4 5 6; do kubectl get clustertrustbundles; done".to_owned());
    }
    commands.push(format!("curl http://{fetcher}/map"));
    commands.push(format!("tail -f {}", peerway.balancer.access_log_file().display()));
    screen.text("")?;
    // Whole lines, however long, to be copied.
    for command in commands {
        screen.verbatim(Tone::Strong, &format!("  {command}"))?;
    }
    screen.text("")?;
    screen.text("Enter or Ctrl-C ends all of it.")?;
    enter().await
}

/// Waits for Enter. Where there is no terminal, nothing comes and this waits for ever.
async fn enter() -> Result<()> {
    let (pressed, wait) = oneshot::channel();
    // Not a task: one that waits for input would hold the end of the program up.
    std::thread::spawn(move || {
        let read = std::io::stdin().read_line(&mut String::new());
        match read {
            Ok(0) | Err(_) => std::thread::park(),
            // Nobody waits any more when it cannot be sent.
            Ok(_) => _ = pressed.send(()),
        }
    });
    wait.await.context("the thread that waits for Enter ended")
}
