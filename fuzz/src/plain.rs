//! A content type, then a plain discovery document -> group-versions to ask for, or resources;
//! and APIServices.

use peerway_core::discovery::{
    Form, GroupVersion, Reading, Root, read_api_services, read_group_versions, read_resources,
};
use peerway_core::request::{self, Scope, Target, decoded_path};

use crate::input::lines;

pub(crate) fn check(data: &[u8]) {
    let ([content_type], body) = lines(data);
    // A form or an error that shows what it was.
    let _ = Form::of(content_type).map_err(|error| error.to_string());
    let _ = read_api_services(body).map_err(|error| error.to_string());
    for root in [Root::Core, Root::Named] {
        for gv in read_group_versions(root, body).iter().flatten() {
            let path = gv.path();
            let read = decoded_path(path.as_bytes());
            let scope = Scope::GroupVersion(gv.group.as_bytes(), gv.version.as_bytes());
            let asks_for = read.as_deref().map(Target::of);
            assert_eq!(
                asks_for,
                Some(Target::Discovery(scope, request::Form::Plain)),
                "{path} asks for something else"
            );
        }
    }
    let gv = GroupVersion { group: "apps".to_owned(), version: "v1".to_owned() };
    let mut reading = Reading::default();
    if read_resources(&gv, body, &mut reading).is_ok() {
        for (key, _) in reading.apis.iter() {
            assert!(key.starts_with("apps/v1/") && key.matches('/').count() == 3, "{key}");
        }
    }
}
