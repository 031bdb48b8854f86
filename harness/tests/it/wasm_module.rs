//! The module as it ships: small, asking its host for nothing but the proxy-wasm ABI.

use std::collections::BTreeSet;
use std::path::Path;

use peerway_harness::module::{Module, exports};
use wasmparser::{Parser, Payload};

/// Imports (`module.name`) of a wasm module.
fn imports(wasm: &[u8]) -> Vec<String> {
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ImportSection(section) = payload.unwrap() {
            for import in section {
                let import = import.unwrap();
                imports.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    imports
}

fn contains(wasm: &[u8], words: &str) -> bool {
    wasm.windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn the_module_is_small_and_asks_for_nothing_but_the_abi() {
    let wasm = std::fs::read(Module::Shipped.build().unwrap()).unwrap();
    assert!(wasm.len() <= 400 << 10, "{} bytes", wasm.len());
    let (imports, exports) = (imports(&wasm), exports(&wasm).unwrap());
    assert!(!imports.is_empty());
    for import in imports {
        assert!(import.starts_with("env.proxy_"), "Envoy may not have {import}");
    }
    assert!(exports.iter().any(|export| export == "proxy_abi_version_0_2_1"), "{exports:?}");
}

/// The callbacks that the sources implement, by their names in the ABI.
fn implemented() -> BTreeSet<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filter/src");
    let mut callbacks = BTreeSet::new();
    for entry in sources.read_dir().unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let functions = source.lines().filter_map(|line| line.trim().strip_prefix("fn on_"));
        let names = functions.filter_map(|rest| rest.split('(').next());
        callbacks.extend(names.map(|name| match name.strip_prefix("http_") {
            Some(of_a_stream) if !of_a_stream.starts_with("call") => of_a_stream.to_owned(),
            _ => name.to_owned(),
        }));
    }
    callbacks
}

#[test]
fn the_module_exports_the_callbacks_that_it_implements_and_no_other() {
    let wasm = std::fs::read(Module::Shipped.build().unwrap()).unwrap();
    let exports = exports(&wasm).unwrap();
    let callbacks = exports.iter().filter_map(|export| export.strip_prefix("proxy_on_"));
    let mut expected = implemented();
    // The SDK's own bookkeeping of contexts.
    expected.extend(["context_create", "delete"].map(str::to_owned));
    let exported: BTreeSet<String> = callbacks.map(str::to_owned).collect();
    assert_eq!(exported, expected, "left: exported, by .ci/wasm-linker; right: in filter/src");
}

#[test]
fn the_switches_of_tests_are_not_in_what_ships() {
    for (module, expected) in [(Module::Shipped, false), (Module::Panicking, true)] {
        let wasm = std::fs::read(module.build().unwrap()).unwrap();
        assert_eq!(contains(&wasm, "peerway-test-panic"), expected, "{module:?}");
    }
}
