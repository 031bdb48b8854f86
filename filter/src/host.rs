//! The one file that calls the host: bytes in, bytes out.
//!
//! Only `_bytes` getters: one header value that is not UTF-8 kills the VM through the string ones. A
//! host error reads as absent and writes as nothing: a request must go on, and what could not be set
//! sends it to the pool, where any server may answer.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Bytes, MapType, MetricType};

pub(crate) use proxy_wasm::types::LogLevel as Level;

/// A header of the request.
pub(crate) fn request_header(name: &str) -> Option<Bytes> {
    hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok()?
}

/// Sets a header of the request, in place of all of that name.
pub(crate) fn set_request_header(name: &str, value: &str) {
    let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
}

/// Adds a header to the request, beside others of that name.
pub(crate) fn add_request_header(name: &str, value: &str) {
    let _ = hostcalls::add_map_value(MapType::HttpRequestHeaders, name, value);
}

/// Removes all headers of that name from the request.
pub(crate) fn remove_request_header(name: &str) {
    let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, None);
}

/// A header of the answer.
pub(crate) fn response_header(name: &str) -> Option<Bytes> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok()?
}

/// Sets a header of the answer, in place of all of that name.
pub(crate) fn set_response_header(name: &str, value: &str) {
    let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(value));
}

/// Removes all headers of that name from the answer.
pub(crate) fn remove_response_header(name: &str) {
    let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, None);
}

/// The first bytes of the answer's body, at most `max_bytes`.
pub(crate) fn response_body(max_bytes: usize) -> Bytes {
    use proxy_wasm::types::BufferType::HttpResponseBody;
    hostcalls::get_buffer(HttpResponseBody, 0, max_bytes).ok().flatten().unwrap_or_default()
}

/// Puts `body` in place of the first `bytes` of the answer's body.
pub(crate) fn replace_response_body(bytes: usize, body: &[u8]) {
    use proxy_wasm::types::BufferType::HttpResponseBody;
    let _ = hostcalls::set_buffer(HttpResponseBody, 0, bytes, body);
}

/// Has Envoy choose the route again, for headers that were set since it did. Envoy before 1.33 does
/// it by itself and does not know the function.
pub(crate) fn choose_route_again() {
    let _ = hostcalls::call_foreign_function("clear_route_cache", None);
}

/// Answers the request here.
pub(crate) fn reply(status: u32, content_type: &str, body: &str) {
    let headers = vec![("content-type", content_type), ("cache-control", "no-store")];
    reply_with(status, headers, body.as_bytes());
}

/// Answers the request here, with these headers.
pub(crate) fn reply_with(status: u32, headers: Vec<(&str, &str)>, body: &[u8]) {
    let _ = hostcalls::send_http_response(status, headers, Some(body));
}

/// A property that a test in real Envoy has read: unknown paths kill the VM.
pub(crate) fn property(name: &[&str]) -> Option<Bytes> {
    hostcalls::get_property(name.to_vec()).ok()?
}

/// The number of the client's connection, as Envoy counts them.
pub(crate) fn connection_number() -> u64 {
    let bytes = property(&["connection", "id"]).unwrap_or_default();
    bytes.try_into().map(u64::from_le_bytes).unwrap_or_default()
}

/// Sets filter state `wasm.<name>`, for the access log and for later attempts of the same request.
pub(crate) fn set_filter_state(name: &str, value: &[u8]) {
    let _ = hostcalls::set_property(vec![name], Some(value));
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the epoch: as good as unique among the VMs of one Envoy.
pub(crate) fn now_ns() -> u64 {
    let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Has `on_tick` called this often on this VM.
pub(crate) fn tick_every(period_ms: u64) {
    let _ = hostcalls::set_tick_period(Duration::from_millis(period_ms));
}

/// The configuration of this plugin.
pub(crate) fn plugin_configuration() -> Option<Bytes> {
    use proxy_wasm::types::BufferType::PluginConfiguration;
    hostcalls::get_buffer(PluginConfiguration, 0, usize::MAX).ok()?
}

/// A value of shared data with its compare-and-swap number.
pub(crate) fn shared_data(key: &str) -> (Option<Bytes>, Option<u32>) {
    hostcalls::get_shared_data(key).unwrap_or_default()
}

/// Writes a value of shared data; with a compare-and-swap number only if nobody wrote since. Returns
/// whether it was written.
pub(crate) fn set_shared_data(key: &str, value: &[u8], unless_newer_than: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(value), unless_newer_than).is_ok()
}

/// Sends a GET to an Envoy cluster. Returns its token, or `None` when it could not be sent.
pub(crate) fn send_get(cluster: &str, headers: Vec<(&str, &str)>, timeout_ms: u64) -> Option<u32> {
    let timeout = Duration::from_millis(timeout_ms);
    hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout).ok()
}

/// A header of the answer to [`send_get`] that is being delivered.
pub(crate) fn answer_header(name: &str) -> Bytes {
    let value = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name);
    value.ok().flatten().unwrap_or_default()
}

/// The body of the answer to [`send_get`] that is being delivered.
pub(crate) fn answer_body(bytes: usize) -> Bytes {
    use proxy_wasm::types::BufferType::HttpCallResponseBody;
    hostcalls::get_buffer(HttpCallResponseBody, 0, bytes).ok().flatten().unwrap_or_default()
}

/// A counter, defined once at configuration.
pub(crate) struct Counter(Option<u32>);

impl Counter {
    /// Defines it. `;key=value` in the name become tags by the rendered configuration.
    pub(crate) fn define(name: &str) -> Self {
        Self(hostcalls::define_metric(MetricType::Counter, name).ok())
    }

    /// Counts one.
    pub(crate) fn increment(&self) {
        if let Some(id) = self.0 {
            let _ = hostcalls::increment_metric(id, 1);
        }
    }
}

/// Metrics by name, each defined when it is first used: Envoy makes a new one of every definition.
#[derive(Default)]
pub(crate) struct Metrics(BTreeMap<String, Option<u32>>);

impl Metrics {
    /// Counts one.
    pub(crate) fn count(&mut self, name: String) {
        if let Some(id) = self.id(name, MetricType::Counter) {
            let _ = hostcalls::increment_metric(id, 1);
        }
    }

    /// Sets a gauge.
    pub(crate) fn set(&mut self, name: String, value: u64) {
        if let Some(id) = self.id(name, MetricType::Gauge) {
            let _ = hostcalls::record_metric(id, value);
        }
    }

    fn id(&mut self, name: String, kind: MetricType) -> Option<u32> {
        if let Some(id) = self.0.get(&name) {
            return *id;
        }
        let id = hostcalls::define_metric(kind, &name).ok();
        self.0.insert(name, id);
        id
    }
}

/// A line in Envoy's log.
pub(crate) fn log(level: Level, line: &str) {
    let _ = hostcalls::log(level, line);
}
