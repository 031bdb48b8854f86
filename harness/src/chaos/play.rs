//! The steps of a scenario, carried out on a stage and noted in the record.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use hyper::header::{ACCEPT, ETAG};
use serde_json::json;

use super::record::{Condition, Presence, Recorder};
use super::scenario::{NEW, Role, Step, Trouble};
use super::stage::{Stage, Way};
use crate::client::{Protocol, Request};
use crate::control_plane::{ADMIN_TOKEN, ETCD, FETCHER_TOKEN};
use crate::simulated::{Fault, Matcher};
use crate::workload::direct;

/// A scenario while it is played.
pub(super) struct Play<'a, T> {
    stage: &'a mut Stage,
    recorder: &'a Recorder,
    share: Duration,
    tell: &'a T,
    /// When the last server that was away came back.
    returned: Option<Duration>,
    sent_astray: Option<u64>,
}

impl<'a, T: Fn(&str)> Play<'a, T> {
    /// A share of its time takes `share`.
    pub(super) fn new(
        stage: &'a mut Stage,
        recorder: &'a Recorder,
        share: Duration,
        tell: &'a T,
    ) -> Self {
        Self { stage, recorder, share, tell, returned: None, sent_astray: None }
    }

    /// When the last server that was away came back, and what was sent to it meanwhile.
    pub(super) fn end(self) -> (Option<Duration>, Option<u64>) {
        (self.returned, self.sent_astray)
    }

    pub(super) async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Pause(shares) => tokio::time::sleep(self.share * shares).await,
            Step::Seconds(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            Step::Replace(name, version) => self.replace(name, version).await?,
            Step::Kill(name) => {
                self.mark(name, Condition::Away("killed"), format!("{name} is killed"));
                self.stage.plane.kill(name).await?;
                self.stage.gone.insert(name.to_owned());
            }
            Step::Start(name) => {
                self.mark(name, Condition::Away("starts"), format!("{name} is started"));
                self.stage.plane.start(name).await?;
                self.stage.gone.remove(name);
                self.is_back(name, format!("{name} is ready"));
            }
            Step::Freeze(name) => {
                self.mark(name, Condition::Away("frozen"), format!("{name} freezes"));
                self.stage.plane.freeze(name).await?;
                self.count_astray(name).await?;
            }
            Step::Thaw(name) => {
                self.stray_counted(name).await?;
                self.stage.plane.thaw(name).await?;
                self.is_back(name, format!("{name} thaws"));
            }
            Step::Vanish(name) => {
                let text = format!("packets to {name} go nowhere");
                self.mark(name, Condition::Away("unreachable"), text);
                self.stage.between.relay(name)?.swallow().await?;
                self.count_astray(name).await?;
            }
            Step::Return(name) => {
                self.stray_counted(name).await?;
                self.stage.between.relay(name)?.pass().await?;
                self.is_back(name, format!("packets to {name} pass"));
            }
            Step::LeadTo(name, other) => {
                let version = self.stage.version(other).to_owned();
                let text = format!("at the address of {name}, {other} answers: {version}");
                self.mark(name, Condition::Serves(version), text);
                let target = self.stage.plane.address(other)?.parse()?;
                self.stage.between.relay(name)?.lead_to(target);
            }
            Step::Fault(name, trouble) => self.trouble(name, trouble).await?,
            Step::Heal(name) => {
                self.stage.between.front(name)?.heal_all();
                let condition = Condition::Serves(self.stage.version(name).to_owned());
                self.mark(name, condition, format!("nothing is wrong with {name}"));
            }
            Step::Hide => {
                self.recorder.set_hidden(true);
                tokio::time::sleep(FINISHED_AFTER).await;
            }
            Step::Show => {
                tokio::time::sleep(NOTICED_AFTER * 2).await;
                self.recorder.set_hidden(false);
            }
            Step::RefuseFetcher => {
                self.note("no server knows the fetcher's token");
                self.stage.balancer.set_fetcher_token("nobody knows it")?;
            }
            Step::AcceptFetcher => {
                self.note("the fetcher has a token again");
                self.stage.balancer.set_fetcher_token(FETCHER_TOKEN)?;
            }
            Step::Reconfigure => {
                self.note("Envoy restarts with another configuration, and drains");
                self.stage.balancer.reconfigure("staleAfter", json!("15s")).await?;
                self.note("the Envoy before has ended");
            }
            Step::Panic(role) => self.panic(role).await?,
        }
        Ok(())
    }

    /// Also keeps account of whether the new APIs are there.
    async fn replace(&mut self, name: &str, version: &str) -> Result<()> {
        let text = format!("{name} is stopped, to become {version}");
        self.mark(name, Condition::Ends, text);
        let capable = self.stage.capable();
        let others = capable.iter().any(|capable| *capable != name);
        let after = match (others, version == NEW) {
            (false, false) => Presence::Absent,
            _ => Presence::There,
        };
        if after != self.recorder.presence() {
            self.recorder.set_presence(Presence::Unsettled);
        }
        self.stage.replace(name, version).await?;
        let text = format!("{name} is {version}, and ready");
        self.mark(name, Condition::Serves(version.to_owned()), text);
        if self.recorder.presence() == Presence::Unsettled {
            self.noticed(name).await?;
            self.recorder.set_presence(after);
        }
        Ok(())
    }

    /// Returns when a server that is back is known to be: after the time in which Peerway promises it,
    /// or some times that on a machine that is busy.
    async fn noticed(&self, name: &str) -> Result<()> {
        tokio::time::sleep(NOTICED_AFTER).await;
        if self.stage.way == Way::Peerway {
            let confirmed = self.stage.balancer.server_is(name, "confirmed");
            let noticed = tokio::time::timeout(NOTICED_AFTER * PATIENCE, confirmed).await;
            noticed.with_context(|| format!("{name} is not noticed"))??;
        }
        Ok(())
    }

    async fn trouble(&mut self, name: &str, trouble: Trouble) -> Result<()> {
        let of_fetcher = |path| Matcher::token(FETCHER_TOKEN, Matcher::path(path));
        let all = ["/readyz", "/api", "/apis"].map(of_fetcher);
        let (word, matchers, fault) = match trouble {
            Trouble::NotReady => {
                let fault = Fault::status(StatusCode::SERVICE_UNAVAILABLE);
                ("not ready", vec![Matcher::path("/readyz")], fault)
            }
            Trouble::TooManyRequests => {
                let fault = Fault::retry_after(StatusCode::TOO_MANY_REQUESTS, 1);
                ("429 for the fetcher", all.to_vec(), fault)
            }
            Trouble::Unauthorized => {
                ("401 for the fetcher", all.to_vec(), Fault::status(StatusCode::UNAUTHORIZED))
            }
            Trouble::SlowDiscovery => {
                let discovery = ["/api", "/apis"].map(of_fetcher);
                ("slow discovery", discovery.to_vec(), Fault::SlowHead(SLOW))
            }
            Trouble::Lies => ("lies", vec![Matcher::path("/apis")], self.document_of("c").await?),
            Trouble::Shrinks => {
                let nothing = r#"{"kind":"APIGroupDiscoveryList","items":[]}"#;
                ("lists nothing", vec![of_fetcher("/apis")], document(nothing))
            }
            Trouble::BackInTime => {
                ("lists the past", vec![of_fetcher("/apis")], self.document_of("b").await?)
            }
        };
        let front = self.stage.between.front(name)?;
        front.heal_all();
        for matcher in matchers {
            front.set_fault(matcher, fault.clone());
        }
        self.mark(name, Condition::Faulty(word.to_owned()), format!("{name}: {word}"));
        Ok(())
    }

    /// What a server lists, for another to say.
    async fn document_of(&self, name: &str) -> Result<Fault> {
        let server = direct(&self.stage.plane, name, Protocol::Http1)?;
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let answer = server.send(Request::get("/apis").header(ACCEPT.as_str(), accept)).await?;
        ensure!(answer.status == 200, "discovery of {name}: {}", answer.text());
        Ok(document(&answer.text()))
    }

    /// Each worker of Envoy has VMs of its own; connections are shared out to them in turn.
    async fn panic(&mut self, role: Role) -> Result<()> {
        if self.stage.way != Way::Peerway {
            return Ok(());
        }
        self.note(&format!("the {role:?} panics").to_lowercase());
        let balancer = &self.stage.balancer;
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
        for _ in 0..WORKERS {
            // Whatever the answer is: a panic has none of its own.
            let _ = match role {
                Role::Fetcher => {
                    balancer.fetcher()?.raw(Request::get("/peerway-test-panic/fetcher")).await
                }
                Role::Router => client.raw(Request::get("/peerway-test-panic/router")).await,
                Role::Witness => client.raw(Request::get("/apis/peerway-test-panic/witness")).await,
            };
        }
        Ok(())
    }

    fn note(&self, text: &str) {
        (self.tell)(text);
        self.recorder.mark(text);
    }

    fn mark(&self, name: &str, condition: Condition, text: String) {
        (self.tell)(&text);
        self.recorder.mark_server(name, condition, text);
    }

    fn is_back(&mut self, name: &str, text: String) {
        self.mark(name, Condition::Serves(self.stage.version(name).to_owned()), text);
        if name != ETCD {
            self.returned = Some(self.recorder.elapsed());
        }
    }

    /// Begins to count what is sent to a server from when it is known to be unreachable.
    async fn count_astray(&mut self, name: &str) -> Result<()> {
        tokio::time::sleep(COUNTED_AFTER).await;
        self.sent_astray = Some(self.stage.balancer.requests_to(&self.stage.address(name)?).await?);
        Ok(())
    }

    async fn stray_counted(&mut self, name: &str) -> Result<()> {
        let now = self.stage.balancer.requests_to(&self.stage.address(name)?).await?;
        let before = self.sent_astray.context("it was not unreachable")?;
        self.sent_astray = Some(now.saturating_sub(before));
        Ok(())
    }
}

/// With a tag, as all aggregated documents have: one without is taken for a plain one, and read
/// less often.
fn document(text: &str) -> Fault {
    match Fault::document(text.to_owned()) {
        Fault::Reply(reply) => Fault::Reply(reply.header(ETAG, "\"another\"")),
        other => other,
    }
}

/// The poll interval, and half a second.
const NOTICED_AFTER: Duration = Duration::from_millis(1_500);
/// The poll interval and the timeout of a probe, and what a busy machine needs.
pub(super) const UNREACHABLE_AFTER: Duration = Duration::from_millis(2_500);
/// From when on nothing may be sent to a server that is unreachable.
const COUNTED_AFTER: Duration = Duration::from_secs(4);
/// How many times that a machine may take that runs other things beside.
pub(super) const PATIENCE: u32 = 5;
/// A kubectl command, or a namespace on its way out: its controller begins five seconds after it was
/// deleted, which was up to two after its founder last looked.
const FINISHED_AFTER: Duration = Duration::from_secs(8);
const SLOW: Duration = Duration::from_secs(3);
const WORKERS: usize = 2;
