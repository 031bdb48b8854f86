//! Path and `Accept` of a discovery request -> which document a server answers with, in which form.
//!
//! Mirrors goautoneg (how clauses are read and ordered), `NegotiateMediaTypeOptions` and
//! `WrappedHandler` of apiserver (aggregated first, plain second) and, on the paths that pass it,
//! the older router of go-restful. Knows nothing of what a server lists: whether there is such a
//! group is not asked.

mod accept;

use serde::Serialize;

use crate::request::{Form, Scope, Target};
use accept::{Clause, clauses};

/// Which versions of aggregated discovery a server answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    v2beta1: bool,
    v2: bool,
}

impl Served {
    /// What kube-apiserver 1.`minor` does by default.
    pub fn by_minor(minor: u32) -> Self {
        Self { v2beta1: (27..=32).contains(&minor), v2: minor >= 30 }
    }

    fn has(self, version: &str) -> bool {
        (version == "v2" && self.v2) || (version == "v2beta1" && self.v2beta1)
    }
}

/// As 1.33 and newer, 1.36 among them: v2 only.
impl Default for Served {
    fn default() -> Self {
        Self { v2beta1: false, v2: true }
    }
}

/// Which document is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// A plain list: `APIVersions`, `APIGroupList`, `APIGroup`, `APIResourceList`.
    Legacy,
    /// An `APIGroupDiscoveryList`.
    Aggregated,
    /// None: status 406 and a `Status`.
    NotAcceptable,
}

/// What a server makes of an `Accept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Negotiation {
    /// Which document.
    pub result: Document,
    /// HTTP status.
    pub status: u16,
    /// `Content-Type` of the answer, also of a 406.
    pub content_type: String,
    /// `json`, `yaml` or `protobuf`; empty when nothing was acceptable.
    pub format: &'static str,
    /// The `profile` of the clause that won, as it was written; empty when it had none. Only
    /// `nopeer` of an aggregated v2 clause has a meaning.
    pub profile: String,
}

/// In the order of preference of a clause that leaves the choice to the server.
const FORMATS: [(&str, &str); 3] = [
    ("application/json", "json"),
    ("application/yaml", "yaml"),
    ("application/vnd.kubernetes.protobuf", "protobuf"),
];

/// Negotiates for a decoded path; `accept` is the first `Accept` line, the only one that is read,
/// and empty where there is none. `None` for a path that holds no discovery document.
pub fn negotiate(path: &[u8], accept: &str, served: Served) -> Option<Negotiation> {
    let place = Place::of(path)?;
    let accept = accept.trim_matches([' ', '\t']);
    let clauses = clauses(accept);
    let plain = || choose(accept, &clauses, |clause| clause.converts_to().is_none());
    if place.is_routed() && !router_accepts(accept) {
        // The answer itself is negotiated once more, by the newer rules.
        let (media_type, _) = plain().map_or(FORMATS[0], |(format, _)| format);
        return Some(Negotiation::not_acceptable(media_type));
    }
    let aggregated = |clause: &Clause<'_>| {
        clause.converts_to().is_some_and(|[group, version, kind]| {
            group == "apidiscovery.k8s.io" && kind == "APIGroupDiscoveryList" && served.has(version)
        })
    };
    let found = (place.has_aggregated() && !accept.is_empty())
        .then(|| choose(accept, &clauses, aggregated))
        .flatten();
    Some(match (found, plain()) {
        (Some((format, Some(clause))), _) => Negotiation::aggregated(format, clause),
        (_, Some((format, clause))) => Negotiation::legacy(format, clause),
        (_, None) => Negotiation::not_acceptable(FORMATS[0].0),
    })
}

/// What a decoded path and the first `Accept` line ask a server of today for: [`Target::of`], and of a
/// discovery document the form.
pub fn target<'a>(path: &'a [u8], accept: &str) -> Target<'a> {
    let target = Target::of(path);
    let Target::Discovery(scope, Form::Plain) = target else { return target };
    let form = match negotiate(path, accept, Served::default()) {
        Some(Negotiation { result: Document::Legacy, .. }) => Form::Plain,
        Some(Negotiation { result: Document::Aggregated, profile, .. }) if profile != "nopeer" => {
            Form::Aggregated
        }
        _ => Form::OneServers,
    };
    Target::Discovery(scope, form)
}

/// The type under which a caller takes a plain document that is written in JSON, if perhaps as its
/// second choice: JSON itself, or YAML, of which JSON is a part (YAML 1.2, section 1.3).
pub fn takes_json_as(accept: &str) -> Option<&'static str> {
    let clauses = clauses(accept);
    let takes = |media_type: &str, is_pretty: bool| {
        let fits = |clause: &Clause<'_>| {
            clause.converts_to().is_none()
                && clause.names(media_type)
                && clause.is_possible(is_pretty)
        };
        accept.is_empty() || clauses.iter().any(fits)
    };
    let [(json, _), (yaml, _), _] = FORMATS;
    [(json, true), (yaml, false)]
        .into_iter()
        .find(|(it, pretty)| takes(it, *pretty))
        .map(|(it, _)| it)
}

impl Negotiation {
    fn aggregated((media_type, format): (&str, &'static str), clause: &Clause<'_>) -> Self {
        let version = clause.parameter("v").unwrap_or_default();
        Self {
            result: Document::Aggregated,
            status: 200,
            content_type: aggregated_type(media_type, version),
            format,
            profile: clause.parameter("profile").unwrap_or_default().to_owned(),
        }
    }

    fn legacy((media_type, format): (&str, &'static str), clause: Option<&Clause<'_>>) -> Self {
        let profile = clause.and_then(|clause| clause.parameter("profile")).unwrap_or_default();
        Self {
            result: Document::Legacy,
            status: 200,
            content_type: media_type.to_owned(),
            format,
            profile: profile.to_owned(),
        }
    }

    fn not_acceptable(content_type: &str) -> Self {
        Self {
            result: Document::NotAcceptable,
            status: 406,
            content_type: content_type.to_owned(),
            format: "",
            profile: String::new(),
        }
    }
}

/// `Content-Type` of an aggregated answer; clients compare it.
pub fn aggregated_type(media_type: &str, version: &str) -> String {
    format!("{media_type};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
}

/// The discovery documents, as far as they are negotiated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `/api`.
    Core,
    /// `/apis`, without a slash at its end.
    Named,
    /// `/apis/` and `/apis/<group>`.
    Group,
    /// `/api/<version>` and `/apis/<group>/<version>`.
    GroupVersion,
}

impl Place {
    fn of(path: &[u8]) -> Option<Self> {
        // A doubled slash is not normalized: no handler is there.
        let rest = path.strip_prefix(b"/")?;
        if path.windows(2).any(|pair| pair == b"//") {
            return None;
        }
        match Target::of(path) {
            Target::Discovery(_, Form::OpenApi | Form::OpenApiIndex) => None,
            Target::Discovery(Scope::Named, _) => {
                Some(if rest == b"apis" { Self::Named } else { Self::Group })
            }
            Target::Discovery(Scope::Core, _) => Some(Self::Core),
            Target::Discovery(Scope::Group(group), _) => (!group.is_empty()).then_some(Self::Group),
            Target::Discovery(Scope::GroupVersion(_, version), _) => {
                (!version.is_empty()).then_some(Self::GroupVersion)
            }
            Target::Discovery(Scope::Cluster, _) | Target::Resource(_) | Target::Other => None,
        }
    }

    fn has_aggregated(self) -> bool {
        matches!(self, Self::Core | Self::Named)
    }

    /// Whether go-restful looks at the request first.
    fn is_routed(self) -> bool {
        matches!(self, Self::Core | Self::GroupVersion)
    }
}

type Choice<'c, 'a> = ((&'static str, &'static str), Option<&'c Clause<'a>>);

/// The first acceptable clause with the first format that it names.
fn choose<'c, 'a>(
    accept: &str,
    clauses: &'c [Clause<'a>],
    fits: impl Fn(&Clause<'_>) -> bool,
) -> Option<Choice<'c, 'a>> {
    if accept.is_empty() {
        return Some((FORMATS[0], None));
    }
    clauses.iter().filter(|clause| fits(clause)).find_map(|clause| {
        FORMATS
            .into_iter()
            .find(|(media_type, format)| {
                clause.names(media_type) && clause.is_possible(*format != "yaml")
            })
            .map(|format| (format, Some(clause)))
    })
}

/// The older router wants one clause with a literal media type or `*/*`, whatever its parameters.
fn router_accepts(accept: &str) -> bool {
    accept.is_empty()
        || accept.split(',').any(|clause| {
            let media_type = clause.split(';').next().unwrap_or_default().trim_matches(' ');
            media_type == "*/*" || FORMATS.iter().any(|(name, _)| *name == media_type)
        })
}

#[cfg(test)]
#[path = "negotiate/tests.rs"]
mod tests;
