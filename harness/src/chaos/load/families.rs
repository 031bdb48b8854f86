//! Work for the real kube-controller-manager: owners with dependents, which its garbage collector
//! must remove when the owner goes and never before, and namespaces, which its namespace controller
//! must empty of what only newer servers know too.
//!
//! Controllers act on what they are told: a false 404 for an owner has its dependents deleted, a
//! false 404 for a list leaves objects behind in a namespace that is gone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};

use super::Common;
use super::api::{Api, NAMESPACE, items};
use super::caller::Caller;
use crate::chaos::history;
use crate::chaos::record::{Class, Presence};
use crate::client::{Client, Protocol, Request};
use crate::control_plane::ControlPlane;
use crate::pod_certificate::pod_certificate_request;
use crate::process::{Process, wait_until};
use crate::workload::direct;

/// What controllers were given to do, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// For people.
    pub(crate) what: String,
    /// What is wrong in the end; nothing when all is as it should be.
    pub(crate) wrong: Option<String>,
}

/// What one task has founded.
#[derive(Debug, Default)]
pub(super) struct Families {
    owners: Vec<Owner>,
    namespaces: Vec<String>,
}

#[derive(Debug)]
struct Owner {
    api: Api,
    name: String,
    dependent: String,
    is_removed: bool,
}

/// Waits until the controllers do what they do: a new namespace gets its root certificates.
pub(super) async fn at_work(
    plane: &ControlPlane,
    server: &str,
    controllers: &mut Process,
) -> Result<()> {
    let client = direct(plane, server, Protocol::Http1)?;
    let mark = "first";
    let name = format!("{mark}-namespace");
    let made = client.post(NAMESPACES, &json!({"metadata": {"name": name}})).await?;
    ensure!(made.status == 201, "{NAMESPACES}: {} {}", made.status, made.text());
    let roots = format!("{NAMESPACES}/{name}/configmaps/kube-root-ca.crt");
    let at_work = async || client.get(&roots).await.is_ok_and(|answer| answer.status == 200);
    controllers.wait_until("at work", LIMIT, at_work).await?;
    // The garbage collector begins when it has read everything that there is.
    let founder = Founder { caller: Caller::Http(client), mark: mark.to_owned() };
    let mut first = Families::default();
    founder.found_owner(&mut first, Api::ConfigMaps, 0, true).await;
    let owners = async || first.dependents_of_removed(plane, server).await.is_ok_and(|n| n == 0);
    wait_until("collecting garbage", LIMIT, owners).await
}

/// Founds families until the load ends.
pub(super) async fn keep_founding(caller: Caller, common: Arc<Common>) -> Families {
    let founder = Founder { caller, mark: common.mark.clone() };
    let mut families = Families::default();
    for number in 1_usize.. {
        let with_new = common.recorder.presence() == Presence::There;
        for api in Api::ALL {
            if api.class() == Class::Everywhere || with_new {
                founder.found_owner(&mut families, api, number, number % 2 == 0).await;
                common.pause(PAUSE).await;
            }
        }
        if number % 2 == 1 {
            let is_listed = with_new && !common.recorder.is_hidden();
            founder.found_namespace(&mut families, number, is_listed).await;
        }
        common.pause(PAUSE).await;
        if common.is_ending() {
            break;
        }
    }
    families
}

struct Founder {
    caller: Caller,
    mark: String,
}

impl Founder {
    /// An owner with a dependent; it is removed again if so wished. Where a write was not
    /// acknowledged nothing is expected of it, so nothing is noted.
    async fn found_owner(&self, families: &mut Families, api: Api, number: usize, remove: bool) {
        let name = format!("{}-owner-{}-{number}", self.mark, api.plural());
        let Some(owner) = self.create(api.path(), &api.object(json!({"name": name}))).await else {
            return;
        };
        let field = |pointer| owner.pointer(pointer).cloned().unwrap_or_default();
        let reference = json!({
            "apiVersion": field("/apiVersion"), "kind": field("/kind"),
            "name": name, "uid": field("/metadata/uid"),
        });
        let dependent = format!("{name}-dependent");
        let metadata = json!({"name": dependent, "ownerReferences": [reference]});
        let dependents = Api::ConfigMaps;
        if self.create(dependents.path(), &dependents.object(metadata)).await.is_none() {
            return;
        }
        let is_removed = remove && {
            let one = format!("{}/{name}", api.path());
            let body = json!({"propagationPolicy": "Background"});
            match self.send(Request::new(Method::DELETE, one).json(&body)).await {
                Some(200) => true,
                // It may be there, and may not.
                _ => return,
            }
        };
        families.owners.push(Owner { api, name, dependent, is_removed });
    }

    /// A namespace with an object of each kind, which is then deleted.
    async fn found_namespace(&self, families: &mut Families, number: usize, with_new: bool) {
        let name = format!("{}-ns-{number}", self.mark);
        if self.create(NAMESPACES, &json!({"metadata": {"name": name}})).await.is_none() {
            return;
        }
        let inside = |path: &str| path.replace(&format!("/{NAMESPACE}/"), &format!("/{name}/"));
        for api in [Api::ConfigMaps, Api::Widgets, Api::Flunders] {
            let object = api.object(json!({"name": "inside"}));
            self.create(&inside(api.path()), &object).await;
        }
        if with_new && let Ok(request) = pod_certificate_request(&name, "request") {
            self.create(&inside(REQUESTS), &request).await;
        }
        let one = format!("{NAMESPACES}/{name}");
        if self.send(Request::new(Method::DELETE, one)).await.is_some_and(|code| code < 300) {
            families.namespaces.push(name);
        }
    }

    async fn create(&self, path: &str, object: &Value) -> Option<Value> {
        let request = Request::new(Method::POST, path).json(object);
        let answer = self.caller.send(request).await.ok()?;
        answer.json().ok().filter(|_| answer.status == 201)
    }

    async fn send(&self, request: Request) -> Option<u16> {
        Some(self.caller.send(request).await.ok()?.status.as_u16())
    }
}

impl Families {
    /// Gives the controllers time to finish, and tells what is wrong then. Without the new API on
    /// any server nobody can tell, or do, anything about its objects: those are left out.
    pub(super) async fn settle(
        mut self,
        plane: &ControlPlane,
        server: &str,
        new_is_there: bool,
    ) -> Result<Vec<Family>> {
        self.owners.retain(|owner| owner.api.class() == Class::Everywhere || new_is_there);
        let collected = async || {
            self.dependents_of_removed(plane, server).await.is_ok_and(|left| left == 0)
                && self.namespaces_left(plane, server).await.is_ok_and(|left| left.is_empty())
        };
        // What is left then is told below.
        let _ = wait_until("collected", LIMIT, collected).await;
        let there = self.there(plane, server).await?;
        let namespaces = self.namespaces_left(plane, server).await?;
        let mut keys = history::keys(plane).await?;
        keys.retain(|key| new_is_there || !key.contains("/podcertificaterequests/"));
        let owners = self.owners.iter().map(|owner| owner.family(&there));
        let namespaces = self.namespaces.iter().map(|name| {
            let inside = format!("/{name}/");
            let left: Vec<_> = keys.iter().filter(|key| key.contains(&inside)).collect();
            let wrong = match (namespaces.contains(name), left.first()) {
                (true, _) => Some("it is still there".to_owned()),
                (false, Some(first)) => {
                    Some(format!("it is gone, and {} objects are left, as {first}", left.len()))
                }
                (false, None) => None,
            };
            Family { what: format!("namespace {name}"), wrong }
        });
        Ok(owners.chain(namespaces).collect())
    }

    async fn dependents_of_removed(&self, plane: &ControlPlane, server: &str) -> Result<usize> {
        let there = self.there(plane, server).await?;
        let removed = self.owners.iter().filter(|owner| owner.is_removed);
        Ok(removed.filter(|owner| there.contains(&owner.dependent)).count())
    }

    /// The names of all dependents and all owners that there are.
    async fn there(&self, plane: &ControlPlane, server: &str) -> Result<Vec<String>> {
        let client = direct(plane, server, Protocol::Http1)?;
        let mut all = names(&client, Api::ConfigMaps.path()).await?;
        for api in [Api::Widgets, Api::Flunders, Api::Bundles] {
            if self.owners.iter().any(|owner| owner.api == api) {
                all.extend(names(&client, api.path()).await?);
            }
        }
        Ok(all)
    }

    async fn namespaces_left(&self, plane: &ControlPlane, server: &str) -> Result<Vec<String>> {
        let client = direct(plane, server, Protocol::Http1)?;
        let there = names(&client, NAMESPACES).await?;
        Ok(there.into_iter().filter(|name| self.namespaces.contains(name)).collect())
    }
}

impl Owner {
    fn family(&self, there: &[String]) -> Family {
        let has = |name| there.contains(name);
        let wrong = match (self.is_removed, has(&self.name), has(&self.dependent)) {
            (false, true, false) => Some("its owner is there, and it was collected"),
            (false, false, _) => Some("its owner is gone, and nobody removed it"),
            (true, _, true) => Some("its owner is gone, and it was not collected"),
            _ => None,
        };
        let what = format!("{}, owned by one of {}", self.dependent, self.api.plural());
        Family { what, wrong: wrong.map(str::to_owned) }
    }
}

async fn names(client: &Client, path: &str) -> Result<Vec<String>> {
    let items = items(client, path).await?;
    let name =
        |item: &Value| item.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    items.iter().map(|item| name(item).context("an object without a name")).collect()
}

const NAMESPACES: &str = "/api/v1/namespaces";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/namespaces/chaos/podcertificaterequests";
/// Controllers try again with pauses that grow.
const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(500);
