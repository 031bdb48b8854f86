//! `docs/cli.md` against the command: every subcommand's `--help` stands there word for word, and
//! every field of its JSON is named. `PEERWAY_WRITE_DOCS=1` writes the help anew.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::run::{json, printed, root, servers};

const PLACE: &str = "../docs/cli.md";

fn subcommands() -> Vec<String> {
    let help = printed(&["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // A wrapped description goes on further right.
    let names = listed.lines().filter(|line| !line.starts_with("    "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The help as it stands in the document. Lines end where their words do.
fn block(subcommand: Option<&str>) -> (String, String) {
    let arguments: Vec<_> = subcommand.into_iter().chain(["--help"]).collect();
    let help = printed(&arguments);
    let help: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let opening = format!("```text\n$ peerway {}\n", arguments.join(" "));
    (opening, format!("{}\n```", help.join("\n")))
}

#[test]
fn every_help_text_stands_in_the_documentation() {
    let place = root().join(PLACE);
    let mut document = std::fs::read_to_string(&place).unwrap();
    let write = std::env::var_os("PEERWAY_WRITE_DOCS").is_some();
    let names = subcommands();
    assert!(names.len() >= 6, "{names:?}");
    for name in std::iter::once(None).chain(names.iter().map(|name| Some(name.as_str()))) {
        let (opening, help) = block(name);
        let start = document.find(&opening).map(|at| at + opening.len());
        let start = start.unwrap_or_else(|| panic!("docs/cli.md has no block {opening:?}"));
        let end = start + document[start..].find("\n```").unwrap() + "\n```".len();
        if write {
            document.replace_range(start..end, &help);
        }
        assert_eq!(document[start..].get(..help.len()), Some(help.as_str()), "{opening}");
    }
    if write {
        std::fs::write(place, document).unwrap();
    }
}

/// Every object key below `value`, but those of maps from names to counts.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        Value::Object(members) => {
            for (name, member) in members {
                found.insert(name.clone());
                if !["decisions", "counters"].contains(&name.as_str()) {
                    fields(member, found);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_of_a_rehearsal_is_documented() {
    let document = std::fs::read_to_string(root().join(PLACE)).unwrap();
    let section = document.split("\n## ").find(|section| section.starts_with("peerway rehearse"));
    let section = section.unwrap();
    let versions = servers(&["1.36.3", "1.37.2"]);
    let mut arguments = vec!["rehearse", "testdata/logs/audit-1.36.3.log"];
    arguments.extend(versions.iter().map(String::as_str));
    let mut found = BTreeSet::from(["line".to_owned(), "problem".to_owned()]);
    fields(&json(&arguments), &mut found);
    assert!(found.contains("possible"), "{found:?}");
    for field in found {
        assert!(section.contains(&format!("`{field}`")), "{field} is not documented");
    }
}
