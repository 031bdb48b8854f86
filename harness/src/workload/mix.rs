//! What a workload consists of: kinds of requests, and the objects of the APIs that they are for.

use anyhow::Result;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Request};

/// The label with the workload's mark.
pub(super) const WORKLOAD: &str = "workload";
/// The label with the request's number.
pub(super) const NUMBER: &str = "request";

/// The APIs, all of them new in 1.37.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    TrustBundles,
    CertificateRequests,
    Migrations,
    TaintRules,
    /// Old, but for its status.
    CsiNodes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    List,
    Get,
    GetMissing,
    Watch,
    Create,
    CreateGenerated,
    Update,
    Patch,
    Delete,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Kind(Action, Api, &'static str);

/// One request, and what it is about.
#[derive(Debug)]
pub(super) struct Planned {
    kind: Kind,
    mark: String,
    pub(super) number: usize,
    /// As it is to be made, and as it was once it was made.
    pub(super) object: Value,
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// The APIs take turns as the actions do. Watches are few: each takes its time.
pub(super) const MIX: [Kind; 20] = [
    Kind(Action::List, Api::TrustBundles, JSON),
    Kind(Action::Get, Api::TaintRules, PROTOBUF),
    Kind(Action::Create, Api::Migrations, JSON),
    Kind(Action::Update, Api::CsiNodes, JSON),
    Kind(Action::List, Api::CertificateRequests, PROTOBUF),
    Kind(Action::Patch, Api::TrustBundles, JSON),
    Kind(Action::Get, Api::Migrations, JSON),
    Kind(Action::CreateGenerated, Api::TrustBundles, PROTOBUF),
    Kind(Action::Watch, Api::TaintRules, JSON),
    Kind(Action::Delete, Api::Migrations, JSON),
    Kind(Action::List, Api::Migrations, JSON),
    Kind(Action::GetMissing, Api::CertificateRequests, JSON),
    Kind(Action::Create, Api::TaintRules, PROTOBUF),
    Kind(Action::Get, Api::CsiNodes, PROTOBUF),
    Kind(Action::Patch, Api::TaintRules, PROTOBUF),
    Kind(Action::CreateGenerated, Api::TaintRules, JSON),
    Kind(Action::Update, Api::CsiNodes, PROTOBUF),
    Kind(Action::Get, Api::TrustBundles, PROTOBUF),
    Kind(Action::Delete, Api::TrustBundles, PROTOBUF),
    Kind(Action::GetMissing, Api::TaintRules, PROTOBUF),
];

impl Api {
    pub(super) const WITH_OBJECTS: [Self; 4] =
        [Self::TrustBundles, Self::Migrations, Self::TaintRules, Self::CsiNodes];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::TrustBundles => "/apis/certificates.k8s.io/v1/clustertrustbundles",
            Self::CertificateRequests => {
                "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests"
            }
            Self::Migrations => "/apis/storagemigration.k8s.io/v1/storageversionmigrations",
            Self::TaintRules => "/apis/resource.k8s.io/v1/devicetaintrules",
            Self::CsiNodes => "/apis/storage.k8s.io/v1/csinodes",
        }
    }

    /// A small object that is valid. `authority` is a certificate of one, in PEM.
    fn object(self, authority: &str) -> Value {
        let driver = "driver.example.com";
        match self {
            Self::TrustBundles => json!({
                "apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
                "spec": {"trustBundle": authority},
            }),
            Self::Migrations => json!({
                "apiVersion": "storagemigration.k8s.io/v1", "kind": "StorageVersionMigration",
                "spec": {"resource": {"group": "example.com", "resource": "things"}},
            }),
            Self::TaintRules => json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule",
                "spec": {
                    "deviceSelector": {"driver": driver},
                    "taint": {"key": "example.com/broken", "effect": "NoSchedule"},
                },
            }),
            Self::CsiNodes => json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
                "spec": {"drivers": [{"name": driver, "nodeID": "n"}]},
            }),
            // Takes a certificate request of a pod; it is only read.
            Self::CertificateRequests => Value::Null,
        }
    }
}

impl Planned {
    pub(super) fn new(kind: Kind, mark: &str, number: usize, authority: &str) -> Self {
        let mark = mark.to_owned();
        let mut planned = Self { kind, mark, number, object: kind.1.object(authority) };
        if let Some(object) = planned.object.as_object_mut() {
            let number = number.to_string();
            let labels = json!({WORKLOAD: planned.mark, NUMBER: number, "patched": "no"});
            let metadata = match kind.0 {
                Action::CreateGenerated => json!({"generateName": "made-", "labels": labels}),
                _ => json!({"name": format!("{}-{number}", planned.mark), "labels": labels}),
            };
            object.insert("metadata".to_owned(), metadata);
        }
        planned
    }

    /// For people: the request's number and kind.
    pub(super) fn what(&self) -> String {
        let Kind(action, api, accept) = self.kind;
        format!("{}-{}: {action:?} {api:?} as {accept}", self.mark, self.number)
    }

    pub(super) fn needs_object(&self) -> bool {
        use Action::{Delete, Get, Patch, Update, Watch};
        matches!(self.kind.0, Get | Watch | Update | Patch | Delete)
    }

    pub(super) fn creation(&self) -> Request {
        Request::new(Method::POST, self.kind.1.path()).json(&self.object)
    }

    pub(super) fn request(&self) -> Request {
        let Kind(action, api, accept) = self.kind;
        let (all, name) = (api.path(), format!("{}-{}", self.mark, self.number));
        let status = if api == Api::CsiNodes { "/status" } else { "" };
        let one = format!("{all}/{name}{status}");
        let request = match action {
            Action::List => Request::get(format!("{all}?limit=10")),
            Action::Get => Request::get(one),
            Action::GetMissing => Request::get(format!("{one}-missing")),
            Action::Watch => Request::get(format!(
                "{all}?watch=true&timeoutSeconds={WATCH_SECONDS}&fieldSelector=metadata.name%3D{name}"
            )),
            Action::Create | Action::CreateGenerated => self.creation(),
            Action::Update => Request::new(Method::PUT, one).json(&self.with_status()),
            Action::Patch => {
                Request::new(Method::PATCH, one).body("application/json-patch+json", PATCH)
            }
            Action::Delete => Request::new(Method::DELETE, one),
        };
        request.header("accept", accept)
    }

    /// What is wrong with an answer; `None` when a server that has the API gives such a one.
    pub(super) fn complaint(&self, answer: &Result<Answer>) -> Option<String> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Some(format!("{error:#}")),
        };
        let Kind(action, _, accept) = self.kind;
        let expected = match action {
            Action::Create | Action::CreateGenerated => StatusCode::CREATED,
            Action::GetMissing => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        };
        let is_of_type = answer.header("content-type").is_some_and(|own| own.starts_with(accept));
        let says = |words| answer.text().contains(words);
        let is_whole = match action {
            Action::GetMissing => says("-missing"),
            Action::Watch => says("ADDED"),
            _ => true,
        };
        let is_right = answer.status == expected && is_of_type && is_whole;
        (!is_right).then(|| format!("{}: {}", answer.status, answer.text()))
    }

    /// What is wrong with the objects that are left with this request's number.
    pub(super) fn damage(&self, left: &[Value]) -> Option<String> {
        let expected = match self.kind.0 {
            Action::List | Action::GetMissing | Action::Delete => 0,
            _ => 1,
        };
        if left.len() != expected {
            return Some(format!("{} objects left instead of {expected}", left.len()));
        }
        let is_done = left.iter().all(|object| match self.kind.0 {
            Action::Patch => object.pointer(PATCHED).is_some_and(|value| value == "yes"),
            Action::Update => object.pointer(VERSION) != self.object.pointer(VERSION),
            _ => true,
        });
        (!is_done).then(|| "was not carried out".to_owned())
    }

    fn with_status(&self) -> Value {
        let conditions = json!([{"status": "StorageDegraded", "reason": "Tested"}]);
        let driver = self.object.pointer("/spec/drivers/0/name");
        let mut object = self.object.clone();
        if let Some(fields) = object.as_object_mut() {
            let health = json!([{"name": driver, "healthConditions": conditions}]);
            fields.insert("status".to_owned(), json!({"storageHealth": health}));
        }
        object
    }
}

/// A busy server may need some of it to begin.
const WATCH_SECONDS: u32 = 4;
const PATCHED: &str = "/metadata/labels/patched";
const VERSION: &str = "/metadata/resourceVersion";
/// Fails when it was carried out already.
const PATCH: &str = r#"[
    {"op": "test", "path": "/metadata/labels/patched", "value": "no"},
    {"op": "replace", "path": "/metadata/labels/patched", "value": "yes"}
]"#;
