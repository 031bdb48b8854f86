//! The servers behind a balancer as its Envoy sees them: health, and how much was sent to each.

use anyhow::{Context, Result};
use hyper::Method;
use serde_json::Value;

use super::{Balancer, MAP_LIMIT};
use crate::process::wait_until;

impl Balancer {
    /// Waits until Envoy's own health checks find a server (by its address) well.
    pub async fn is_healthy(&self, address: &str) -> Result<()> {
        let is_ill = |host: &Value| {
            let health = host.get("health_status").and_then(Value::as_object);
            health.is_some_and(|health| health.keys().any(|key| key.starts_with("failed")))
        };
        let healthy =
            async || self.hosts(address).await.is_ok_and(|hosts| !hosts.iter().any(is_ill));
        wait_until(&format!("finding {address} healthy"), MAP_LIMIT, healthy).await
    }

    /// How many requests of clients were sent to a server (by its address) so far, attempts that
    /// failed included.
    pub async fn requests_to(&self, address: &str) -> Result<u64> {
        let hosts = self.hosts(address).await?;
        let stats = hosts.iter().flat_map(|host| list(host, "stats"));
        let total = stats.filter(|stat| stat.get("name").is_some_and(|name| name == "rq_total"));
        // One that never counted has no value.
        Ok(total.filter_map(|stat| stat.get("value")?.as_str()?.parse::<u64>().ok()).sum())
    }

    /// A server (by its address) in each cluster that clients' requests go to.
    async fn hosts(&self, address: &str) -> Result<Vec<Value>> {
        let clusters = self.envoy.admin(Method::GET, "/clusters?format=json").await?.json()?;
        clusters.get("cluster_statuses").context("envoy's admin tells no clusters")?;
        let is_for_clients = |cluster: &&Value| {
            let name = cluster.get("name").and_then(Value::as_str);
            name.is_some_and(|name| !name.starts_with("fetch"))
        };
        let clusters = list(&clusters, "cluster_statuses").filter(is_for_clients);
        let hosts = clusters.flat_map(|cluster| list(cluster, "host_statuses"));
        let is_it = |host: &&Value| {
            let socket = host.pointer("/address/socket_address");
            let ip = socket.and_then(|socket| socket.get("address")?.as_str());
            let port = socket.and_then(|socket| socket.get("port_value")?.as_u64());
            ip.zip(port).is_some_and(|(ip, port)| format!("{ip}:{port}") == address)
        };
        Ok(hosts.filter(is_it).cloned().collect())
    }
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}
