//! The committed example, as users copy it, before a real Envoy; and what it must share with the core.

use peerway_core::testimony::{SHAPES, STOPPING};
use peerway_harness::envoy;
use peerway_harness::module::Module;

const EXAMPLE: &str = include_str!("../../../envoy-config/examples/control-plane.yaml");
const RENDERED: &str = include_str!("../../../envoy-config/envoy/envoy.yaml");

/// The example, rendered here. Envoy loads the module when it validates, so that one path is this
/// machine's.
fn render_here() -> tempfile::TempDir {
    let module = Module::Shipped.build().unwrap();
    let here = EXAMPLE.replace("/usr/lib/peerway/peerway.wasm", module.to_str().unwrap());
    assert_ne!(here, EXAMPLE, "the example names another module");
    let control_plane = envoy_config::ControlPlane::from_yaml(&here).unwrap();
    let folder = tempfile::tempdir().unwrap();
    envoy_config::render(&control_plane).write(folder.path()).unwrap();
    folder
}

#[tokio::test]
async fn envoy_takes_the_rendered_example() {
    envoy::validate(render_here().path()).await.unwrap();
}

#[tokio::test]
async fn a_configuration_that_envoy_refuses_is_told() {
    let folder = render_here();
    let file = folder.path().join("envoy.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    let bad = good.replace("direct_response: {status: 404}", "direct_response: {status: 1}");
    assert_ne!(bad, good);
    std::fs::write(file, bad).unwrap();
    let error = envoy::validate(folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("Status"), "{error}");
}

#[test]
fn the_native_guard_and_the_witness_know_the_same_shapes() {
    for (bytes, content_type) in SHAPES {
        let shape = format!("{{exact: \"404 - {bytes} {content_type}\"}}");
        assert_eq!(RENDERED.matches(&shape).count(), 1, "{shape}");
    }
    let (bytes, content_type) = STOPPING;
    for shape in [
        format!("{{exact: \"429 5 {bytes} {content_type}\"}}"),
        "{safe_regex: {regex: \"503 [0-9].*\"}}".to_owned(),
    ] {
        assert_eq!(RENDERED.matches(&shape).count(), 1, "{shape}");
    }
    let guarded = RENDERED.matches("{name: x-peerway-shape, string_match").count();
    assert_eq!(guarded, SHAPES.len() + 2);
}
