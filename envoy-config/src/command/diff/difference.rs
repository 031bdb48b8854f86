//! What several servers list -> what not all of them do: APIs first, then verbs of APIs that all
//! have.

use std::collections::{BTreeMap, BTreeSet};

use peerway_core::discovery::Root;
use peerway_core::merge::{List, Resource, Text};
use serde::Serialize;

use crate::command::servers::Known;

/// Group, version, resource and subresource (empty for the resource itself).
pub(super) type Key = [String; 4];

/// Verbs of an API; `None` where only its name is known.
type Verbs = Option<BTreeSet<String>>;

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    /// Whether anything differs.
    pub(super) skew: bool,
    pub(super) summary: Summary,
    pub(super) servers: Vec<Listed>,
    /// What not every server serves, in order of group, version, resource and subresource.
    pub(super) apis: Vec<Api>,
    /// Verbs that not every server offers, of APIs that all serve.
    pub(super) verbs: Vec<Verb>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// How many APIs there are, subresources included.
    pub(super) apis: usize,
    /// How many of them are at risk of a false 404: not every server serves them.
    pub(super) at_risk: usize,
    /// How many verbs are at risk of a false 405.
    pub(super) verbs_at_risk: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) apis: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Api {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) served_by: Vec<String>,
    pub(super) missing_from: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Verb {
    pub(super) verb: String,
    #[serde(flatten)]
    pub(super) api: Api,
}

impl Difference {
    /// Compares servers. One of which nothing was ever read is an error: nothing can be said.
    pub(super) fn between(servers: &[Known]) -> Result<Self, String> {
        let listed = servers.iter().map(|server| Ok((server.name.clone(), listed(server)?)));
        let listed: Vec<(String, BTreeMap<Key, Verbs>)> = listed.collect::<Result<_, String>>()?;
        let keys: BTreeSet<&Key> = listed.iter().flat_map(|(_, apis)| apis.keys()).collect();
        let mut apis = Vec::new();
        let mut verbs = Vec::new();
        for key in &keys {
            let api = Api::of(key, &listed, |apis| apis.contains_key(*key));
            if api.missing_from.is_empty() {
                verbs.extend(verbs_of(key, &listed));
            } else {
                apis.push(api);
            }
        }
        let summary = Summary { apis: keys.len(), at_risk: apis.len(), verbs_at_risk: verbs.len() };
        let skew = !apis.is_empty() || !verbs.is_empty();
        let servers =
            listed.iter().map(|(name, apis)| Listed { name: name.clone(), apis: apis.len() });
        Ok(Self { skew, summary, servers: servers.collect(), apis, verbs })
    }
}

impl Api {
    fn of(
        [group, version, resource, subresource]: &Key,
        listed: &[(String, BTreeMap<Key, Verbs>)],
        serves: impl Fn(&BTreeMap<Key, Verbs>) -> bool,
    ) -> Self {
        let (having, lacking): (Vec<_>, Vec<_>) = listed.iter().partition(|(_, apis)| serves(apis));
        let names = |servers: Vec<&(String, _)>| -> Vec<String> {
            servers.into_iter().map(|(name, _)| name.clone()).collect()
        };
        Self {
            group: group.clone(),
            version: version.clone(),
            resource: resource.clone(),
            subresource: subresource.clone(),
            served_by: names(having),
            missing_from: names(lacking),
        }
    }
}

fn verbs_of(key: &Key, listed: &[(String, BTreeMap<Key, Verbs>)]) -> Vec<Verb> {
    let verbs = |apis: &'_ BTreeMap<Key, Verbs>| apis.get(key).cloned().flatten();
    let known: Vec<_> = listed.iter().filter_map(|(_, apis)| verbs(apis)).collect();
    if known.len() < listed.len() {
        return Vec::new();
    }
    let all: BTreeSet<&String> = known.iter().flatten().collect();
    let differs = |verb: &&&String| !known.iter().all(|verbs| verbs.contains(**verb));
    all.iter()
        .filter(differs)
        .map(|verb| {
            let offers = |apis: &BTreeMap<Key, Verbs>| {
                verbs(apis).is_some_and(|verbs| verbs.contains(*verb))
            };
            Verb { verb: (*verb).clone(), api: Api::of(key, listed, offers) }
        })
        .collect()
}

/// What one server serves, with verbs where its documents are at hand.
fn listed(server: &Known) -> Result<BTreeMap<Key, Verbs>, String> {
    let Some(apis) = &server.apis else {
        return Err(format!("{}: its discovery was never read", server.name));
    };
    let mut parts = apis.iter().map(|(key, _)| key.splitn(4, '/').map(str::to_owned));
    let mut listed: BTreeMap<Key, Verbs> = BTreeMap::new();
    for mut part in parts.by_ref() {
        let mut next = || part.next().unwrap_or_default();
        listed.insert([next(), next(), next(), next()], None);
    }
    for root in [Root::Core, Root::Named] {
        let Some(body) = server.documents.get(root) else { continue };
        // A document of which the core read only a part has no verbs then.
        let Ok(list) = List::read(body) else { continue };
        for (group, version, resource) in resources(&list) {
            for (subresource, verbs) in served(resource) {
                let name = resource.resource.to_string();
                let key = [group.to_owned(), version.to_owned(), name, subresource];
                if let Some(known) = listed.get_mut(&key) {
                    *known = Some(verbs);
                }
            }
        }
    }
    Ok(listed)
}

fn resources<'l>(list: &'l List<'_>) -> impl Iterator<Item = (&'l str, &'l str, &'l Resource<'l>)> {
    list.groups().iter().flat_map(|group| {
        group.versions().iter().flat_map(|version| {
            let resources = version.resources().iter();
            resources.map(|resource| (&*group.metadata.name, &*version.version, resource))
        })
    })
}

/// The resource itself and its subresources, each with its verbs.
fn served(resource: &Resource<'_>) -> Vec<(String, BTreeSet<String>)> {
    let verbs = |verbs: &[Text<'_>]| verbs.iter().map(|verb| (**verb).to_owned()).collect();
    let itself = resource.verbs.as_deref().map(|found| (String::new(), verbs(found)));
    let below = resource.subresources.iter().flatten().map(|below| {
        (below.subresource.to_string(), verbs(below.verbs.as_deref().unwrap_or_default()))
    });
    itself.into_iter().chain(below).collect()
}
