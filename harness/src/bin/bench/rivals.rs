//! What else could stand where Peerway's filter does: a wasm filter that does nothing, and a Lua
//! filter that does the hot path's job. Header hygiene is native in all of them.

use anyhow::{Context, Result};
use peerway_core::apis::Apis;
use peerway_core::discovery::{Root, read_aggregated};
use peerway_harness::module::Module;
use serde_json::{Value, json};

/// The HTTP filter that does nothing, in wasm.
pub(crate) fn empty_wasm() -> Result<Value> {
    let module = Module::Empty.build()?;
    Ok(json!({
        "name": "empty",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "empty",
                "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": "empty",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                },
            },
        },
    }))
}

/// The HTTP filter that reads the path and looks up whether all servers list what it asks for, in
/// Lua. `documents` are what they list.
pub(crate) fn lua(documents: &[Vec<u8>; 2]) -> Result<Value> {
    let [core, named] = documents;
    let mut keys = Vec::new();
    for (root, document) in [(Root::Core, core), (Root::Named, named)] {
        let read = read_aggregated(root, document, &Apis::default());
        let read = read.map_err(|error| anyhow::anyhow!("{error}")).context("a document")?;
        keys.extend(read.apis.iter().map(|(key, _)| format!("[\"{key}\"]=true")));
    }
    let script = SCRIPT.replace("LISTED", &keys.join(","));
    Ok(json!({
        "name": "lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": script},
        },
    }))
}

const SCRIPT: &str = r#"
local listed = {LISTED}

function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  local part = {}
  for segment in string.gmatch(string.match(path, "^[^?]*"), "[^/]+") do
    part[#part + 1] = segment
  end
  local group, version, at
  if part[1] == "api" then
    group, version, at = "", part[2], 3
  elseif part[1] == "apis" then
    group, version, at = part[2], part[3], 4
  else
    return
  end
  if part[at] == "namespaces" and part[at + 2] then
    at = at + 2
  end
  if not part[at] then
    return
  end
  if not listed[group .. "/" .. version .. "/" .. part[at] .. "/" .. (part[at + 2] or "")] then
    handle:headers():replace("x-peerway-route", "peers")
  end
end
"#;
