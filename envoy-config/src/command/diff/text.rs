//! A difference as a table that fits a screen: what goes together is one row.

use std::collections::BTreeMap;

use super::difference::{Api, Difference, Listed};
use crate::command::output::{columns, shown};

/// So many rows are shown to people; `-o json` has all.
const MAX_ROWS: usize = 40;

pub(super) fn of(difference: &Difference) -> String {
    let mut rows = vec![];
    let mut heading = vec!["NOT EVERYWHERE".to_owned()];
    heading.extend(difference.servers.iter().map(|server| shown(&server.name)));
    rows.extend(
        grouped(&difference.apis)
            .into_iter()
            .map(|(api, what)| row(what, &difference.servers, api)),
    );
    for verb in &difference.verbs {
        let what = format!("{}: {}", name(&verb.api), shown(&verb.verb));
        rows.push(row(what, &difference.servers, &verb.api));
    }
    let more = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    let mut text = String::new();
    if !rows.is_empty() {
        rows.insert(0, heading);
        text = columns(&rows);
        if more > 0 {
            text.push_str(&format!("and {more} more; -o json has all\n"));
        }
        text.push('\n');
    }
    text + &summary(difference)
}

fn summary(difference: &Difference) -> String {
    let (servers, found) = (difference.servers.len(), &difference.summary);
    let verbs = match found.verbs_at_risk {
        0 => String::new(),
        count => format!(" {count} verbs are at risk of a false 405."),
    };
    match found.at_risk {
        0 => format!("All {servers} servers serve the same {} APIs.{verbs}\n", found.apis),
        at_risk => format!(
            "{at_risk} of {} APIs are at risk of a false 404: not all {servers} servers serve them.{verbs}\n",
            found.apis
        ),
    }
}

fn row(what: String, servers: &[Listed], api: &Api) -> Vec<String> {
    let mark = |server: &Listed| match api.served_by.contains(&server.name) {
        true => "yes".to_owned(),
        false => "-".to_owned(),
    };
    std::iter::once(what).chain(servers.iter().map(mark)).collect()
}

/// A resource and those of its subresources that the same servers serve are one row.
fn grouped(apis: &[Api]) -> Vec<(&Api, String)> {
    let parent = |api: &Api| (api.group.clone(), api.version.clone(), api.resource.clone());
    let mut itself: BTreeMap<_, &Api> = BTreeMap::new();
    for api in apis.iter().filter(|api| api.subresource.is_empty()) {
        itself.insert(parent(api), api);
    }
    let goes_with = |api: &Api| {
        !api.subresource.is_empty()
            && itself.get(&parent(api)).is_some_and(|parent| parent.served_by == api.served_by)
    };
    let rows = apis.iter().filter(|api| !goes_with(api));
    rows.map(|api| {
        let same = |below: &&Api| goes_with(below) && parent(below) == parent(api);
        let below: Vec<_> = match api.subresource.is_empty() {
            true => apis.iter().filter(same).map(|below| shown(&below.subresource)).collect(),
            false => Vec::new(),
        };
        let below = match below.is_empty() {
            true => String::new(),
            false => format!(" (with {})", below.join(", ")),
        };
        (api, format!("{}{below}", name(api)))
    })
    .collect()
}

/// As people write it: without the slash of the core group or of no subresource.
fn name(api: &Api) -> String {
    let parts = [&api.group, &api.version, &api.resource, &api.subresource];
    shown(parts.map(String::as_str).join("/").trim_matches('/'))
}
