//! The module as it ships: small, asking its host for nothing but the proxy-wasm ABI.

use peerway_harness::module::Module;
use wasmparser::{Parser, Payload};

/// Imports (`module.name`) and exports of a wasm module.
fn interface(wasm: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                for import in section {
                    let import = import.unwrap();
                    imports.push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports)
}

fn contains(wasm: &[u8], words: &str) -> bool {
    wasm.windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn the_module_is_small_and_asks_for_nothing_but_the_abi() {
    let wasm = std::fs::read(Module::Shipped.build().unwrap()).unwrap();
    assert!(wasm.len() <= 400 << 10, "{} bytes", wasm.len());
    let (imports, exports) = interface(&wasm);
    assert!(!imports.is_empty());
    for import in imports {
        assert!(import.starts_with("env.proxy_"), "Envoy may not have {import}");
    }
    assert!(exports.iter().any(|export| export == "proxy_abi_version_0_2_1"), "{exports:?}");
}

#[test]
fn the_switches_of_tests_are_not_in_what_ships() {
    for (module, expected) in [(Module::Shipped, false), (Module::Panicking, true)] {
        let wasm = std::fs::read(module.build().unwrap()).unwrap();
        assert_eq!(contains(&wasm, "peerway-test-panic"), expected, "{module:?}");
    }
}
