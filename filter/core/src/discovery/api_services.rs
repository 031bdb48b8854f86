//! APIService objects -> the group-versions that another API server answers for.
//!
//! Every group-version has such an object (`kube-aggregator`); only one that is passed on names a
//! service. They live in etcd, so that all servers of a cluster have the same.

use super::{DiscoveryError, Excerpt, GroupVersion};
use crate::json::Json;

/// Where a server has them.
pub const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// Reads an `APIServiceList`: the group-versions that name a service, in its order.
pub fn read_api_services(body: &[u8]) -> Result<Vec<GroupVersion>, DiscoveryError> {
    let mut list = serde_json::from_slice::<Json<'_>>(body)?.object()?;
    let kind = list.take("kind").text()?;
    if *kind != *"APIServiceList" {
        return Err(DiscoveryError::Kind(Excerpt::of(kind.as_bytes())));
    }
    let mut found = Vec::new();
    for mut item in list.take("items").list(Json::object)?.into_iter().flatten() {
        let mut spec = item.take("spec").object()?;
        if spec.take("service").optional_object()?.is_some() {
            let [group, version] = [spec.take("group").text()?, spec.take("version").text()?];
            found.push(GroupVersion { group: group.to_string(), version: version.to_string() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn only_what_names_a_service_is_passed_on() {
        let body = br#"{"kind":"APIServiceList","apiVersion":"apiregistration.k8s.io/v1","items":[
            {"metadata":{"name":"v1."},"spec":{"version":"v1","groupPriorityMinimum":18000}},
            {"metadata":{"name":"v1.apps"},"spec":{"service":null,"group":"apps","version":"v1"}},
            {"metadata":{"name":"v1beta1.metrics.k8s.io"},"spec":{"version":"v1beta1",
             "group":"metrics.k8s.io","service":{"namespace":"kube-system","name":"metrics"}}}]}"#;
        let metrics =
            GroupVersion { group: "metrics.k8s.io".to_owned(), version: "v1beta1".to_owned() };
        assert_eq!(read_api_services(body), Ok(vec![metrics]));
    }

    #[test]
    fn what_is_no_such_list_is_an_error() {
        for odd in [
            "",
            "{}",
            r#"{"kind":"Status"}"#,
            r#"{"kind":"APIServiceList","items":{}}"#,
            r#"{"kind":"APIServiceList","items":[{}]}"#,
            r#"{"kind":"APIServiceList","items":[{"spec":{"service":"x"}}]}"#,
        ] {
            assert!(read_api_services(odd.as_bytes()).is_err(), "{odd}");
        }
    }
}
