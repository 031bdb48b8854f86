//! How the servers stand -> the gauges that tell monitoring, as name and value.
//!
//! Names carry their labels behind `;`, as `peerway_server_standing;server=cp-1;standing=gone`.

use crate::record::Status;
use crate::serving_map::Standing;

/// Every gauge of `status`, set anew each time that it is saved.
pub fn gauges(status: &Status) -> Vec<(String, u64)> {
    let mut gauges = vec![("peerway_map_generation".to_owned(), status.generation)];
    for server in &status.servers {
        let name = &server.name;
        for standing in Standing::ALL {
            let gauge =
                format!("peerway_server_standing;server={name};standing={}", standing.name());
            gauges.push((gauge, u64::from(server.standing() == standing)));
        }
        let read = format!("peerway_document_read_seconds;server={name}");
        gauges.push((read, server.read_ms / 1_000));
    }
    gauges
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::record::ServerRecord;

    #[test]
    fn a_server_has_exactly_one_standing() {
        let mut server = ServerRecord::default();
        server.name.push_str("cp-1");
        server.read_ms = 2_999;
        server.set_standing(Standing::Late, 0);
        let all = gauges(&Status { generation: 7, servers: vec![server] });
        let set: Vec<_> = all.iter().filter(|(_, value)| *value > 0).collect();
        let expected = [
            ("peerway_map_generation".to_owned(), 7),
            ("peerway_server_standing;server=cp-1;standing=late".to_owned(), 1),
            ("peerway_document_read_seconds;server=cp-1".to_owned(), 2),
        ];
        assert_eq!(set, expected.iter().collect::<Vec<_>>());
    }
}
