//! A child process of the rig: its output in a log file, its signals, its certain end.
//!
//! A process ends when its value is dropped, and, where `setpriv` (util-linux) is at hand, also
//! when this program dies in a way that drops nothing: Ctrl-C, `kill -9`, an abort. It runs in a
//! process group of its own then, so that Ctrl-C in a terminal reaches this program alone, which
//! can end things in order. Also here: waiting for a condition, and ports that nobody else takes.
//! Knows no Kubernetes, no Envoy.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, kill_process};
use tokio::net::TcpSocket;

pub use rustix::process::Signal;

/// A running child process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error appended to the file `log`.
    ///
    /// Of `command` its program, arguments, environment changes and working directory are taken;
    /// its standard input is empty.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{name}: cannot open its log {}", log.display()))?;
        let mut bound = bound_to_this_program(command);
        bound.stdin(Stdio::null());
        bound.stdout(output.try_clone().context("cannot share a log file")?).stderr(output);
        let child = spawn_on_lasting_thread(bound)
            .with_context(|| format!("{name}: cannot start {program}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// The name given at the start, as it stands in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with everything the process wrote.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log, with a line that says whose they are: the end of an error
    /// message.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// How the process ended; `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("{}: cannot be waited for", self.name))
    }

    /// Sends a signal. `Signal::STOP` freezes the process, `Signal::CONT` thaws it.
    ///
    /// An error if it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // A process id is only ours until it was waited for; `ended` keeps the two in step.
        if let Some(status) = self.ended()? {
            bail!("{}: has ended ({status}), no signal can reach it", self.name);
        }
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let id = id.with_context(|| format!("{}: odd process id {}", self.name, self.id()))?;
        kill_process(id, signal).with_context(|| format!("{}: cannot send {signal:?}", self.name))
    }

    /// SIGTERM, then waits for the end. A process that is still there after `grace` is killed, and
    /// that is an error. One that had ended already is fine. A frozen one is thawed.
    pub async fn terminate(&mut self, grace: Duration) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        // It can end between the two signals; what counts is whether it is gone below.
        let _ = self.signal(Signal::CONT);
        let deadline = Instant::now() + grace;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                self.kill()?;
                bail!(
                    "{}: still there {grace:?} after SIGTERM, killed\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until it ends by itself; an error when it is still there after `limit`.
    pub async fn end(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                bail!("{}: still there after {limit:?}\n{}", self.name, self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// SIGKILL; the process is gone when this returns.
    pub fn kill(&mut self) -> Result<()> {
        // Both fail only for a process that has ended, which is what was asked for.
        let _ = self.child.kill();
        self.child.wait().with_context(|| format!("{}: cannot be waited for", self.name))?;
        Ok(())
    }

    /// Waits until `condition` holds. It is an error, with the log's tail, when the process ends
    /// before that or `limit` is over; `what` completes the sentence "not … after 3s".
    pub async fn wait_until<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> F,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                bail!("{}: ended ({status}) before it was {what}\n{}", self.name, self.log_tail());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, condition()).await {
                Ok(true) => return Ok(()),
                Ok(false) => tokio::time::sleep(POLL).await,
                Err(_) => {
                    bail!("{}: not {what} after {limit:?}\n{}", self.name, self.log_tail())
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.kill();
    }
}

/// Waits until `condition` holds; an error that says "not … after 3s" when it does not within
/// `limit`.
pub async fn wait_until<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> Result<()> {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(limit, poll).await.map_err(|_| anyhow!("not {what} after {limit:?}"))
}

/// The last lines of a log file below a line that names it.
pub fn log_tail(log: &Path) -> String {
    let tail = read_tail(log).unwrap_or_else(|error| format!("(cannot be read: {error})"));
    format!("--- end of {}\n{tail}\n---", log.display())
}

/// A TCP port on 127.0.0.1 that is free, and stays reserved for whoever is told its number for as
/// long as this program runs: neither another program that asks for a free port nor an outgoing
/// connection gets it. A server can bind it (with `SO_REUSEADDR`, as all common ones do), stop, and
/// bind it again.
pub fn free_port() -> Result<u16> {
    // A socket that is bound and never listens is the reservation: Linux lets listeners with
    // SO_REUSEADDR share its port, but picks it for nobody.
    let socket = TcpSocket::new_v4().context("cannot make a socket")?;
    socket.set_reuseaddr(true).context("cannot set SO_REUSEADDR")?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("no free port on 127.0.0.1")?;
    let port = socket.local_addr().context("a socket without an address")?.port();
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    Ok(port)
}

/// The same command, run so that it ends with this program where that can be had.
fn bound_to_this_program(command: &Command) -> Command {
    let mut bound = if setpriv_is_at_hand() {
        let mut bound = Command::new(SETPRIV);
        bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
        bound.process_group(0);
        bound
    } else {
        Command::new(command.get_program())
    };
    bound.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(key, value),
            None => bound.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
}

fn setpriv_is_at_hand() -> bool {
    static AT_HAND: OnceLock<bool> = OnceLock::new();
    *AT_HAND.get_or_init(|| {
        let probe = Command::new(SETPRIV).args(["--pdeathsig", "KILL", "--", "true"]).output();
        probe.is_ok_and(|output| output.status.success())
    })
}

/// The kernel sends the death signal when the *thread* that made the child ends, and a test's
/// thread ends long before the program does. So all children come from one thread that lasts.
fn spawn_on_lasting_thread(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Whoever asked is gone when the reply cannot be sent; then the child goes too.
                if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).map_err(|_| anyhow!("the thread that starts processes died"))?;
    Ok(answer.recv().context("the thread that starts processes died")??)
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

fn read_tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = VecDeque::with_capacity(TAIL_LINES + 1);
    for line in text.lines() {
        lines.push_back(line);
        if lines.len() > TAIL_LINES {
            lines.pop_front();
        }
    }
    Ok(Vec::from(lines).join("\n"))
}

/// Reservations last as long as the program: a port that is given back could be somebody else's by
/// the time a stopped server comes back to it.
static RESERVED: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

const SETPRIV: &str = "setpriv";
/// Short against what is waited for (a server's start takes seconds), long against a poll's cost.
const POLL: Duration = Duration::from_millis(20);
/// Enough for the reason of a failed start and what led to it.
const TAIL_LINES: usize = 30;
/// Lines of kube-apiserver go up to a few kB.
const TAIL_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const STAY: &str = "PEERWAY_TEST_STAY";

    fn shell(script: &str) -> (Process, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let process = Process::start("script", &command, &folder.path().join("log")).unwrap();
        (process, folder)
    }

    fn is_running(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[tokio::test]
    async fn dropped_process_is_gone_even_when_frozen() {
        let (mut process, _folder) = shell("exec sleep 600");
        let id = process.id();
        process.signal(Signal::STOP).unwrap();
        drop(process);
        assert!(!is_running(id));
    }

    #[tokio::test]
    async fn process_outlives_the_thread_that_asked_for_it() {
        let asked = std::thread::spawn(|| shell("exec sleep 600")).join();
        let (mut process, _folder) = asked.unwrap();
        let still_there = wait_until("over", Duration::from_millis(300), async || false).await;
        assert!(still_there.is_err());
        assert_eq!(process.ended().unwrap(), None);
    }

    #[tokio::test]
    async fn process_ends_when_this_program_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "process::tests::stays_with_a_child_where_told"]);
        program.env(STAY, folder.path());
        let mut program = Process::start("program", &program, &folder.path().join("log")).unwrap();

        let child = || std::fs::read_to_string(folder.path().join("child"));
        let named = async || child().is_ok();
        program.wait_until("running with its child", SOON, named).await.unwrap();
        let child = child().unwrap().parse().unwrap();
        assert!(is_running(child));
        program.kill().unwrap();
        wait_until("over with the child", SOON, async || !is_running(child)).await.unwrap();
    }

    /// The program of the test above: passes at once, except where a folder tells it to stay.
    #[test]
    fn stays_with_a_child_where_told() {
        let Some(folder) = std::env::var_os(STAY).map(PathBuf::from) else { return };
        let mut command = Command::new("sleep");
        command.arg("600");
        let child = Process::start("child", &command, &folder.join("child-log")).unwrap();
        std::fs::write(folder.join("half-written"), child.id().to_string()).unwrap();
        std::fs::rename(folder.join("half-written"), folder.join("child")).unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }

    #[tokio::test]
    async fn early_end_is_told_with_the_end_of_the_log() {
        let (mut process, _folder) = shell("echo out of luck >&2; exit 3");
        let error = process.wait_until("ready", SOON, async || false).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("script: ended (exit status: 3) before it was ready"), "{text}");
        assert!(text.contains("out of luck"), "{text}");
    }

    #[tokio::test]
    async fn process_that_ignores_sigterm_is_killed_and_reported() {
        let (mut process, _folder) = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
        let log = process.log().to_owned();
        let up = async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("up"));
        process.wait_until("up", SOON, up).await.unwrap();
        let error = process.terminate(Duration::from_millis(100)).await.unwrap_err();
        assert!(error.to_string().contains("after SIGTERM, killed"), "{error:#}");
        assert!(!is_running(process.id()));
    }

    #[test]
    fn reserved_port_can_be_listened_on_again_and_again() {
        let port = free_port().unwrap();
        for _ in 0..3 {
            drop(std::net::TcpListener::bind(("127.0.0.1", port)).unwrap());
        }
    }
}
