//! Load on APIs that one of three real servers has: nobody is told that they are not there, each
//! request is carried out once, and what is missing on that server is missing in its own words.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder, workers_have_the_map};
use peerway_harness::client::{Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, FETCHER_TOKEN};
use peerway_harness::process::{free_port, wait_until};
use peerway_harness::workload::{Outcome, Workload, direct};
use serde_json::{Value, json};

/// The server that has the APIs.
const CAPABLE: &str = "c";
const REQUESTS: usize = 2_000;
const AT_A_TIME: usize = 60;
const NOTHING: [String; 0] = [];
/// A token that no server knows: the fetcher can read nothing, so there is never a map.
const UNKNOWN: &str = "nobody knows it";
const BY_THE_MAP: &str = "listed-by-some";
const PROBE: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles?probe";
/// For what must come, on a machine however busy.
const SOON: Duration = Duration::from_secs(60);

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

#[tokio::test(flavor = "multi_thread")]
async fn the_map_serves_all_of_a_load_that_a_plain_balancer_answers_with_false_404s() {
    let plane = control_plane().await.unwrap();
    let few = Workload::prepare(&plane, CAPABLE, "direct", REQUESTS / 20).await.unwrap();
    let capable = direct(&plane, CAPABLE, Protocol::Http2).unwrap();
    assert_eq!(few.run(&[capable], AT_A_TIME).await.wrong(), NOTHING);
    assert_eq!(few.damage().await.unwrap(), NOTHING);

    let plain = Builder::before(&plane).plain().start().await.unwrap();
    let same = Workload::prepare(&plane, CAPABLE, "plain", REQUESTS / 5).await.unwrap();
    let false_404s = run(&same, &plain).await.unwrap().false_404s();
    println!("plain: {false_404s} false 404s in {} requests", same.len());
    assert!(false_404s > same.len() / 4, "{false_404s}");
    drop(plain);

    let balancer = with_a_map(&plane).await.unwrap();
    let workload = Workload::prepare(&plane, CAPABLE, "map", REQUESTS).await.unwrap();
    assert_eq!(run(&workload, &balancer).await.unwrap().wrong(), NOTHING);
    assert_eq!(workload.damage().await.unwrap(), NOTHING);
    let by_the_map = counter(&balancer, "peerway_requests_total;reason=listed-by-some").await;
    let asked_next = counter(&balancer, "peerway_witness_total;verdict=asked-next").await;
    let (by_the_map, asked_next) = (by_the_map.unwrap(), asked_next.unwrap());
    let address = plane.address(CAPABLE).unwrap();
    let at_once = log(&balancer, REQUESTS).await.unwrap().into_iter().filter(|line| {
        line["upstream"] == address && line["attempts"] == 1 && line["reason"] == BY_THE_MAP
    });
    let at_once = at_once.count();
    println!("map: {by_the_map} by the map, {at_once} at once, {asked_next} second questions");
    assert_eq!(by_the_map, REQUESTS);
    assert!(asked_next <= REQUESTS / 100, "{asked_next}");
    assert!(at_once >= REQUESTS * 99 / 100, "{at_once}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_map_the_witness_serves_all_of_the_load() {
    let plane = control_plane().await.unwrap();
    // No handshake on a busy machine is to cost an attempt.
    let balancer = Builder::before(&plane).setting("connectTimeout", json!("30s"));
    let balancer = balancer.fetcher_token(UNKNOWN).start().await.unwrap();
    let workload = Workload::prepare(&plane, CAPABLE, "witness", REQUESTS).await.unwrap();
    assert_eq!(run(&workload, &balancer).await.unwrap().wrong(), NOTHING);
    assert_eq!(workload.damage().await.unwrap(), NOTHING);
    let without = counter(&balancer, "peerway_requests_total;reason=no-map").await.unwrap();
    let asked_next = counter(&balancer, "peerway_witness_total;verdict=asked-next").await.unwrap();
    assert_eq!(without, REQUESTS);
    let mut attempts = BTreeMap::new();
    for line in log(&balancer, REQUESTS).await.unwrap() {
        assert_eq!(line["upstream"], plane.address(CAPABLE).unwrap(), "{line}");
        *attempts.entry(line["attempts"].as_u64().unwrap() as usize).or_default() += 1;
    }
    println!("no map: requests by attempts {attempts:?}, {asked_next} second questions");
    let others: usize = attempts.iter().map(|(attempts, requests)| (attempts - 1) * requests).sum();
    assert_eq!(asked_next, others, "each attempt after the first was the witness's");
    assert!(attempts[&1] < REQUESTS / 2, "the servers take turns to be first: {attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn capable_servers_that_close_connections_at_random_lose_and_double_nothing() {
    // One, and then two of which each may refuse what the other has refused.
    for other in ["1.36.3", "1.37.2"] {
        let mut refused = None;
        for _ in 0..TRIES {
            if refused.is_none() {
                refused = refused_streams_are_served(other).await;
            }
        }
        let refused = refused.expect("some request meets a GOAWAY, and none too many of them");
        println!("goaway, b is {other}: {refused} requests were refused once or more");
    }
}

/// Loads in which no request is refused, or one is as often as it is tried, are rare.
const TRIES: usize = 3;

/// Returns how many requests were refused by the first server that they were sent to; nothing where
/// none was, or where one was so often that its client is to come back (docs/limits.md).
async fn refused_streams_are_served(other: &str) -> Option<usize> {
    let at_random = ["--goaway-chance=0.02"];
    let builder = ControlPlane::builder().server("a", "1.36.3").server_with("b", other, &at_random);
    let plane = builder.server_with(CAPABLE, "1.37.2", &at_random).start().await.unwrap();
    let balancer = with_a_map(&plane).await.unwrap();
    let workload = Workload::prepare(&plane, CAPABLE, "goaway", REQUESTS).await.unwrap();
    let wrong = run(&workload, &balancer).await.unwrap().wrong();
    if !wrong.is_empty() && wrong.iter().all(|it| it.contains(": 503 Service Unavailable: ")) {
        return None;
    }
    assert_eq!(wrong, NOTHING);
    assert_eq!(workload.damage().await.unwrap(), NOTHING);
    let log = log(&balancer, REQUESTS).await.unwrap();
    let refused = log.iter().filter(|line| line["attempts"] != 1).count();
    let asked_next = counter(&balancer, "peerway_witness_total;verdict=asked-next").await.unwrap();
    assert_eq!(asked_next, 0, "refused by the capable server, asked of it again");
    (refused > 0).then_some(refused)
}

/// New APIs, and what is missing in them.
const MISSING: [&str; 5] = [
    "/apis/certificates.k8s.io/v1/clustertrustbundles/missing",
    "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests/missing",
    "/apis/storagemigration.k8s.io/v1/storageversionmigrations/missing",
    "/apis/resource.k8s.io/v1/devicetaintrules/missing",
    "/apis/storage.k8s.io/v1/csinodes/missing/status",
];

/// Missing objects whose 404 is as long as that of a resource that a server does not know. (206 is
/// an unknown resource's in indented JSON; the shortest of a missing object has 217 there.)
const OF_KNOWN_LENGTH: [(&str, &str, &str); 4] = [
    ("/api/v1/namespaces/default/pods/abc", JSON, "174"),
    ("/api/v1/persistentvolumes/abcdef", JSON, "206"),
    ("/apis/apps/v1/namespaces/default/daemonsets/abc", PROTOBUF, "116"),
    ("/api/v1/namespaces/default/pods/abcdef", YAML, "154"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_asked_for_once_and_missing_in_its_servers_own_words() {
    let plane = control_plane().await.unwrap();
    let balancer = with_a_map(&plane).await.unwrap();
    let formats = [("", JSON), ("?pretty=true", JSON), ("", PROTOBUF), ("", YAML)];
    let of = |path| formats.map(|(query, accept)| get(&format!("{path}{query}"), accept));
    let requests = MISSING.iter().flat_map(of).collect();
    for line in own_words(&plane, &balancer, requests).await.unwrap() {
        assert_eq!(line["reason"], BY_THE_MAP, "{line}");
        assert_eq!(line["upstream"], plane.address(CAPABLE).unwrap(), "{line}");
        assert_eq!((&line["attempts"], &line["code"]), (&json!(1), &json!(404)), "{line}");
    }

    // With no map, what all servers have goes through `peers` too.
    let balancer = Builder::before(&plane).fetcher_token(UNKNOWN).start().await.unwrap();
    for (path, accept, length) in OF_KNOWN_LENGTH {
        let server = direct(&plane, "a", Protocol::Http1).unwrap();
        let answer = server.send(get(path, accept)).await.unwrap();
        assert_eq!(answer.header("content-length"), Some(length), "{path}: {}", answer.text());
    }
    let requests = OF_KNOWN_LENGTH.map(|(path, accept, _)| get(path, accept)).into();
    for line in own_words(&plane, &balancer, requests).await.unwrap() {
        assert_eq!(line["reason"], "no-map", "{line}");
        assert_eq!((&line["attempts"], &line["code"]), (&json!(1), &json!(404)), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_nobody_has_is_404_after_one_question_to_each() {
    let plane = control_plane().await.unwrap();
    let balancer = with_a_map(&plane).await.unwrap();
    let object = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}});
    let mut requests = Vec::new();
    // A group that nobody knows, and a resource that nobody knows in a group that all know.
    for things in ["/apis/nobody.example.com/v1/things", "/apis/apps/v1/things"] {
        let thing = format!("{things}/a");
        let with_body = |method, path: &str| Request::new(method, path).json(&object);
        requests.extend([JSON, PROTOBUF, YAML].map(|accept| get(&thing, accept)));
        requests.extend([
            get(&format!("{thing}?pretty=true"), JSON),
            get(&format!("{things}?watch=true"), JSON),
            Request::new(Method::HEAD, thing.as_str()),
            Request::new(Method::DELETE, thing.as_str()),
            with_body(Method::POST, things),
            with_body(Method::PUT, &thing),
            with_body(Method::PATCH, &thing),
        ]);
    }
    let count = requests.len();
    let mut all: Vec<_> = plane.servers().into_iter().map(|(_, address)| address).collect();
    all.sort_unstable();
    for line in own_words(&plane, &balancer, requests).await.unwrap() {
        assert_eq!(line["reason"], "listed-by-nobody", "{line}");
        assert_eq!((&line["attempts"], &line["code"]), (&json!(3), &json!(404)), "{line}");
        let mut asked: Vec<_> = line["said"].as_str().unwrap().split(',').collect();
        asked.push(line["upstream"].as_str().unwrap());
        asked.sort_unstable();
        assert_eq!(asked, all, "{line}");
    }
    let passed = counter(&balancer, "peerway_witness_total;verdict=passed").await.unwrap();
    let asked_next = counter(&balancer, "peerway_witness_total;verdict=asked-next").await.unwrap();
    assert_eq!((passed, asked_next), (count, 2 * count));
}

async fn control_plane() -> Result<ControlPlane> {
    let builder = ControlPlane::builder().server("a", "1.36.3").server("b", "1.36.3");
    builder.server(CAPABLE, "1.37.2").start().await
}

/// Peerway with a map of all servers in every worker, its counters at 0. Its fetcher waits for a
/// busy server longer than by default: these tests are about servers that nobody takes for gone.
async fn with_a_map(plane: &ControlPlane) -> Result<Balancer> {
    let token = plane.folder().join("fetcher-token");
    std::fs::write(&token, FETCHER_TOKEN)?;
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let section = json!({"tokenFile": token, "listen": listen, "probeTimeout": "30s"});
    let mut balancer = Builder::before(plane).setting("fetcher", section).start().await?;
    let fetcher = Client::plain(listen, Protocol::Http1)?;
    let all_confirmed = async || {
        let map = fetcher.get("/map").await.and_then(|map| map.json()).unwrap_or_default();
        let servers = map.get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
        let confirmed = servers.iter().filter(|server| is(server, "state", "confirmed"));
        confirmed.count() == plane.servers().len()
    };
    wait_until("every server is confirmed", SOON, all_confirmed).await?;
    // One of a moment before routes the probe too, and does not know all servers.
    workers_have_the_map().await;
    every_worker_has_the_map(&balancer).await?;
    balancer.envoy().reset_counters().await?;
    Ok(balancer)
}

/// Waits until every worker goes by the map: each takes it on its own tick.
pub(crate) async fn every_worker_has_the_map(balancer: &Balancer) -> Result<()> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
    let by_the_map = async || {
        // As many connections, which Envoy shares out to its workers.
        let answers = client.many(vec![Request::get(PROBE); 8], 8).await;
        answers.into_iter().all(|answer| {
            answer.is_ok_and(|answer| answer.header("x-peerway-reason") == Some(BY_THE_MAP))
        })
    };
    wait_until("every worker has the map", SOON, by_the_map).await
}

/// Half of the requests go over one connection of HTTP/2, and so through one worker; the other half
/// over as many of HTTP/1.1 as are under way at a time.
async fn run<'a>(workload: &'a Workload, balancer: &Balancer) -> Result<Outcome<'a>> {
    let clients = [Protocol::Http1, Protocol::Http2];
    let clients = clients.map(|protocol| balancer.client(ADMIN_TOKEN, protocol));
    let clients = clients.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(workload.run(&clients, AT_A_TIME).await)
}

async fn counter(balancer: &Balancer, name: &str) -> Result<usize> {
    let counters = balancer.counters().await?;
    let count = counters.get(name).with_context(|| format!("no {name} in {counters:?}"))?;
    Ok(usize::try_from(*count)?)
}

/// The access log's lines of all requests but the probes, which must be so many.
async fn log(balancer: &Balancer, requests: usize) -> Result<Vec<Value>> {
    let log = || {
        // The last line may be half written.
        let lines = balancer.access_log().unwrap_or_default().into_iter();
        lines.filter(|line| !is(line, "path", PROBE)).collect::<Vec<_>>()
    };
    let is_written = async || log().len() >= requests;
    wait_until("every request is in the access log", SOON, is_written).await?;
    let log = log();
    ensure!(log.len() == requests, "{} requests in the access log", log.len());
    Ok(log)
}

/// Whether a field is this text.
fn is(object: &Value, field: &str, text: &str) -> bool {
    object.get(field).and_then(Value::as_str) == Some(text)
}

fn get(target: &str, accept: &str) -> Request {
    Request::get(target).header("accept", accept)
}

/// Sends requests one after the other, the first ones to this balancer, and returns their lines in
/// the access log. An error unless each answer is, to its last byte, what the server that gave it
/// says when it is asked directly.
async fn own_words(
    plane: &ControlPlane,
    balancer: &Balancer,
    requests: Vec<Request>,
) -> Result<Vec<Value>> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
    let answers = client.many(requests.clone(), 1).await;
    let log = log(balancer, answers.len()).await?;
    for ((request, answer), line) in requests.into_iter().zip(answers).zip(&log) {
        let answer = answer?;
        let upstream = line.get("upstream").and_then(Value::as_str);
        let servers = plane.servers();
        let server = servers.iter().find(|(_, address)| upstream == Some(*address));
        let (name, _) = server.with_context(|| format!("which server: {line}"))?;
        let own = direct(plane, name, Protocol::Http1)?.send(request).await?;
        ensure!(answer.status == own.status, "{line}: {}", own.status);
        ensure!(answer.body == own.body, "{line}: {} {}", answer.text(), own.text());
        for header in ["content-type", "content-length"] {
            let (answered, own) = (answer.header(header), own.header(header));
            ensure!(answered == own, "{line}: {header}: {answered:?}, {own:?}");
        }
    }
    Ok(log)
}
