//! A method, then a request target -> the full reading, which agrees with the lean one.

use peerway_core::request::{Target, decoded_path};
use peerway_core::request_info::{Kind, RequestInfo, origin_form};

use crate::input::lines;

pub(crate) fn check(data: &[u8]) {
    let ([method], target) = lines(data);
    let Ok(method) = str::from_utf8(method) else { return };
    let info = RequestInfo::of(method, target);
    assert_eq!(RequestInfo::of(method, target), info);
    let path = origin_form(method, target).and_then(decoded_path);
    let (Some(path), true) = (path, info.kind != Kind::BadRequest) else {
        let read = [&info.group, &info.version, &info.resource, &info.verb, &info.decoded_path];
        assert!(
            info.kind == Kind::BadRequest && read.iter().all(|part| part.is_empty()),
            "{info:?}"
        );
        return;
    };
    let api = match Target::of(&path) {
        Target::Resource(api) => api,
        Target::Discovery(..) => return assert_eq!(info.kind, Kind::NonResource),
        Target::Other => return assert_ne!(info.kind, Kind::Resource),
    };
    assert_eq!(info.kind, Kind::Resource);
    for (lean, full) in [
        (api.group, info.group),
        (api.version, info.version),
        (api.resource, info.resource),
        (api.subresource, info.subresource),
    ] {
        assert!(str::from_utf8(lean).is_err() || lean == full.as_bytes(), "{lean:?} is not {full}");
    }
}
