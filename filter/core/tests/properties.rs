//! What holds for any servers and any request, against a naive model beside it.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "a helper of tests, which say what they expect by failing")]

use peerway_core::apis::{Apis, Origin};
use peerway_core::decide::{Decision, Knowledge, Peers, decide};
use peerway_core::request::{Api, Target, decoded_path};
use peerway_core::request_info::{Kind, RequestInfo};
use peerway_core::servers::Server;
use peerway_core::serving_map::{Standing, View, build};
use peerway_core::snapshot;
use proptest::prelude::*;

/// One server of the model: which of eight resources it lists (`None`: never read), how it stands.
type Model = (Option<u8>, Standing);

fn model() -> impl Strategy<Value = Vec<Model>> {
    let standing = prop_oneof![
        Just(Standing::Confirmed),
        Just(Standing::Unknown),
        Just(Standing::Late),
        Just(Standing::Gone)
    ];
    let server = (prop::option::of(any::<u8>()), standing).prop_map(|(listed, standing)| {
        // A confirmed server was read by definition.
        (if standing == Standing::Confirmed { Some(listed.unwrap_or(0)) } else { listed }, standing)
    });
    prop::collection::vec(server, 1..6)
}

fn servers(model: &[Model]) -> Vec<Server> {
    let server = |at| Server { name: format!("s{at}"), address: format!("127.0.0.1:{at}") };
    (0..model.len()).map(server).collect()
}

fn lists(listed: u8, resource: u8) -> bool {
    listed & (1 << resource) != 0
}

fn decided(model: &[Model], resource: u8, turn: usize) -> Decision {
    let documents: Vec<Option<Apis>> = model
        .iter()
        .map(|(listed, _)| {
            let key = |resource| (format!("g/v1/r{resource}/"), Origin::BuiltIn);
            listed.map(|listed| (0..8).filter(|r| lists(listed, *r)).map(key).collect())
        })
        .collect();
    let view = |(apis, (_, standing)): (&'_ Option<Apis>, &Model)| (apis.clone(), *standing);
    let owned: Vec<_> = documents.iter().zip(model).map(view).collect();
    let views: Vec<_> = owned
        .iter()
        .map(|(apis, standing)| View { standing: *standing, apis: apis.as_ref(), read_ms: 1 })
        .collect();
    let servers = servers(model);
    let map = snapshot::decode(snapshot::encode(&servers, &build(&views)), &servers).unwrap();
    let name = format!("r{resource}");
    let api = Api { group: b"g", version: b"v1", resource: name.as_bytes(), subresource: b"" };
    decide(Target::Resource(api), &servers, Knowledge::Map(&map), turn)
}

proptest! {
    #[test]
    fn untouched_only_when_every_server_is_confirmed_and_lists_it(model in model(), resource in 0u8..8, turn: usize) {
        let even = model.iter().all(|(listed, standing)| {
            *standing == Standing::Confirmed && listed.is_some_and(|listed| lists(listed, resource))
        });
        prop_assert_eq!(decided(&model, resource, turn) == Decision::Untouched, even);
    }

    #[test]
    fn a_confirmed_server_that_lists_it_comes_first_and_only_then_is_the_request_stamped(
        model in model(), resource in 0u8..8, turn: usize
    ) {
        if let Decision::Peers(Peers { order, stamp, .. }) = decided(&model, resource, turn) {
            let capable = |(listed, standing): &Model| {
                *standing == Standing::Confirmed && listed.is_some_and(|listed| lists(listed, resource))
            };
            prop_assert_eq!(stamp, model.iter().any(capable));
            prop_assert_eq!(stamp, order.first().is_some_and(|first| capable(&model[first.index()])));
        }
    }

    #[test]
    fn whoever_may_have_it_is_asked_and_nobody_else_that_does_not_answer(
        model in model(), resource in 0u8..8, turn: usize
    ) {
        if let Decision::Peers(Peers { order, .. }) = decided(&model, resource, turn) {
            for (at, (listed, standing)) in model.iter().enumerate() {
                let may_have = listed.is_none_or(|listed| lists(listed, resource));
                let asked = order.iter().any(|id| id.index() == at);
                prop_assert_eq!(asked, may_have || !matches!(standing, Standing::Late | Standing::Gone), "server {}", at);
            }
        }
    }

    #[test]
    fn one_more_server_never_makes_a_served_resource_unserved(
        model in model(), more in model(), resource in 0u8..8
    ) {
        let stamped = |model: &[Model]| match decided(model, resource, 0) {
            Decision::Peers(peers) => peers.stamp,
            _ => true,
        };
        let both: Vec<_> = model.iter().chain(&more).copied().collect();
        prop_assert!(!stamped(&model) || stamped(&both));
    }

    #[test]
    fn any_path_is_read_without_a_panic(path in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(path) = decoded_path(&path) {
            Target::of(&path);
        }
    }

    #[test]
    fn a_resource_path_is_read_back(
        group in "[a-z.]{1,8}", version in "v[0-9]", namespace in "[a-z]{1,5}",
        resource in "[a-z]{1,8}", name in "[a-z]{1,5}", subresource in "[a-z]{0,8}"
    ) {
        prop_assume!(!["watch", "proxy", "namespaces", "status", "finalize"].contains(&resource.as_str()));
        let path = format!("/apis/{group}/{version}/namespaces/{namespace}/{resource}/{name}/{subresource}");
        let expected = Api {
            group: group.as_bytes(), version: version.as_bytes(),
            resource: resource.as_bytes(), subresource: subresource.as_bytes(),
        };
        prop_assert_eq!(Target::of(path.as_bytes()), Target::Resource(expected));
    }

    #[test]
    fn the_full_reading_names_the_same_api_as_the_lean_one(
        path in "(/|%2F)?((api|apis|v1|watch|proxy|namespaces|status|finalize|a|b|)(/|//|%2F)){0,8}"
    ) {
        let target = format!("/{path}");
        let info = RequestInfo::of("GET", target.as_bytes());
        let decoded = decoded_path(target.as_bytes()).unwrap_or_default();
        match Target::of(&decoded) {
            Target::Resource(api) => {
                let parts = [api.group, api.version, api.resource, api.subresource];
                let expected = parts.map(|part| String::from_utf8_lossy(part).into_owned());
                prop_assert_eq!(info.kind, Kind::Resource);
                prop_assert_eq!([info.group, info.version, info.resource, info.subresource], expected);
            }
            Target::Discovery(..) => prop_assert_eq!(info.kind, Kind::NonResource),
            Target::Other => prop_assert_ne!(info.kind, Kind::Resource),
        }
    }

    #[test]
    fn any_request_is_read_without_a_panic(
        method in ".{0,5}", target in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        RequestInfo::of(&method, &target);
    }

    #[test]
    fn a_snapshot_of_any_bytes_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(snapshot::decode(bytes, &[]).is_err());
    }
}
