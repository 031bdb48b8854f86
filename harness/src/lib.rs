//! Real parts around Peerway: control planes of mixed versions, Envoy, a simulated server for what a
//! real one cannot be made to do, and clients. The demo and the tests are built from these.

pub mod backwards;
pub mod balancer;
pub mod chaos;
pub mod client;
pub mod control_plane;
pub mod envoy;
pub mod go_client;
pub mod kubeconfig;
pub mod module;
pub mod parts;
pub mod pki;
pub mod pod_certificate;
pub mod process;
pub mod relay;
pub mod simulated;
pub mod workload;
