//! A process of the control plane that can go and come back: its name, its address, which never
//! changes, and the command that starts it, which does when another version takes over.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::Mutex;

use super::ask::Asker;
use crate::process::{Process, Signal};

#[derive(Debug)]
pub(super) struct Member {
    name: String,
    url: String,
    health_url: String,
    log: PathBuf,
    asker: Asker,
    // Held over whole operations: two at a time on one process come one after the other.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    command: Command,
    process: Option<Process>,
}

impl Member {
    /// Not started yet. `health_path` answers 200 when it is ready.
    pub(super) fn new(
        name: &str,
        url: String,
        health_path: &str,
        command: Command,
        folder: &Path,
        asker: &Asker,
    ) -> Self {
        Self {
            name: name.to_owned(),
            health_url: format!("{url}{health_path}"),
            url,
            log: folder.join(format!("{name}.log")),
            asker: asker.clone(),
            state: Mutex::new(State { command, process: None }),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn address(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Starts the process, and does not wait for it.
    pub(super) async fn launch(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        self.launch_locked(&mut state)
    }

    /// Waits until the process says that it is ready.
    pub(super) async fn ready(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        self.ready_locked(&mut state).await
    }

    /// Starts the process, and waits until it says that it is ready.
    pub(super) async fn start(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        self.launch_locked(&mut state)?;
        self.ready_locked(&mut state).await
    }

    /// Starts another command in its place, now and from now on.
    pub(super) async fn start_as(&self, command: Command) -> Result<()> {
        let mut state = self.state.lock().await;
        state.command = command;
        self.launch_locked(&mut state)?;
        self.ready_locked(&mut state).await
    }

    pub(super) async fn stop(&self) -> Result<()> {
        match self.state.lock().await.process.take() {
            Some(mut process) => process.terminate(GRACE).await,
            None => Ok(()),
        }
    }

    pub(super) async fn kill(&self) -> Result<()> {
        match self.state.lock().await.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    pub(super) async fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP).await
    }

    pub(super) async fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT).await
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        let mut state = self.state.lock().await;
        self.running(&mut state)?.signal(signal)
    }

    fn launch_locked(&self, state: &mut State) -> Result<()> {
        if let Some(process) = &mut state.process
            && process.ended()?.is_none()
        {
            bail!("{}: is running already", self.name);
        }
        state.process = Some(Process::start(&self.name, &state.command, &self.log)?);
        Ok(())
    }

    async fn ready_locked(&self, state: &mut State) -> Result<()> {
        let answers = async || {
            let answer = self.asker.get(&self.health_url).await;
            answer.is_ok_and(|answer| answer.status == 200)
        };
        self.running(state)?.wait_until("ready", START_LIMIT, answers).await
    }

    fn running<'a>(&self, state: &'a mut State) -> Result<&'a mut Process> {
        state.process.as_mut().with_context(|| format!("{}: is not running", self.name))
    }
}

/// A start takes about 4 s on two idle cores; several at a time beside a build take far longer.
const START_LIMIT: Duration = Duration::from_secs(90);
/// A kube-apiserver waits for requests in flight, each for 60 s at most.
const GRACE: Duration = Duration::from_secs(70);
