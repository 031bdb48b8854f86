//! What clients see of a cluster whose servers differ.

use std::time::Duration;

use anyhow::Result;
use peerway_harness::control_plane::ControlPlane;
use serde_json::json;

mod upgrades;

/// For what must come, on a machine however busy.
const SOON: Duration = Duration::from_secs(60);
/// A custom resource that every rig of these tests has.
const CUSTOM: &str = "example.com/v1/widgets";

async fn define_widgets(plane: &ControlPlane) -> Result<()> {
    let schema = json!({
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
            }],
        },
    });
    plane.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await
}
