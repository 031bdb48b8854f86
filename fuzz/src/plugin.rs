//! A plugin's configuration -> its settings, or every problem.

use peerway_core::config::Config;
use peerway_core::servers::{MAX_SERVERS, Server};

pub(crate) fn check(data: &[u8]) {
    match Config::from_json(data) {
        Err(error) => assert!(error.to_string().len() > "plugin configuration: ".len()),
        Ok(Config::Router(router)) => {
            check_servers(&router.servers);
            assert!(router.stale_after_ms > 0);
        }
        Ok(Config::Fetcher(fetcher)) => {
            check_servers(&fetcher.servers);
            assert!(!fetcher.cluster.is_empty() && !fetcher.authority.is_empty());
            let times =
                [fetcher.poll_interval_ms, fetcher.probe_timeout_ms, fetcher.discovery_timeout_ms];
            assert!(times.iter().all(|time| *time > 0));
        }
        Ok(Config::Witness) => {}
    }
}

/// What a list of destinations is made of: a stray byte would tear it apart.
fn check_servers(servers: &[Server]) {
    assert!((1..=MAX_SERVERS).contains(&servers.len()));
    for (at, server) in servers.iter().enumerate() {
        let in_list = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        assert!(!server.address.is_empty() && server.address.bytes().all(in_list));
        assert!(servers.iter().take(at).all(|other| other.address != server.address));
    }
}
