//! The simulated server does what its handle tells it to, as the tests' own client sees it over
//! HTTP/1.1 and HTTP/2. What the other tests find with both is only worth as much as this.

mod faults;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::{Method, StatusCode, Version};
use peerway_harness::client::{Answer, Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::pki::{Authority, SERVER_NAMES};
use peerway_harness::simulated::{Discovery, Fault, Matcher, SimulatedServer, Simulation, Speaks};
use serde_json::json;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
const LISTED: [&str; 4] = [
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/storage.k8s.io/v1/csinodes",
    "/apis/storage.k8s.io/v1/csinodes/status",
];
const PODS: &str = "/api/v1/pods";
/// For what must not come, or come late: long against milliseconds on loopback.
const SHORT: Duration = Duration::from_millis(300);
/// For what must come, on a machine however busy.
const SOON: Duration = Duration::from_secs(10);

/// A server that lists `LISTED`, and a client of it for each protocol.
async fn server() -> Result<(SimulatedServer, [Client; 2])> {
    let authority = Authority::new("serving-ca")?;
    let identity = authority.serving("simulated", &SERVER_NAMES)?;
    let server = Simulation::new("cp-1", Discovery::of(&LISTED)?).start(&identity).await?;
    let client = |protocol| Client::new(server.address(), &authority.pem(), protocol);
    let clients = [client(Protocol::Http1)?, client(Protocol::Http2)?];
    Ok((server, clients))
}

/// How the request for pods failed within `deadline`.
async fn failure(client: &Client, deadline: Duration) -> String {
    let answer = client.clone().with_deadline(deadline).get(PODS).await;
    answer.map_or_else(|error| format!("{error:#}"), |answer| format!("answered: {answer:?}"))
}

#[tokio::test]
async fn listed_resource_is_answered_by_name_and_remembered() {
    let (server, clients) = server().await.unwrap();
    for (client, version) in clients.iter().zip([Version::HTTP_11, Version::HTTP_2]) {
        let client = client.clone().with_token("secret");
        let path = "/apis/storage.k8s.io/v1/csinodes/n/status?dryRun=All";
        let answer = client.put(path, &json!({"a": 1})).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        let echo = answer.json().unwrap();
        assert_eq!((&echo["server"], &echo["method"]), (&json!("cp-1"), &json!("PUT")));
        assert_eq!((&echo["target"], &echo["bodyBytes"]), (&json!(path), &json!(7)));
        let asked = server.requests_to(&Matcher::prefix("/apis/storage.k8s.io"));
        let asked = asked.last().unwrap();
        assert_eq!((asked.version, &asked.method), (version, &Method::PUT));
        assert_eq!((asked.target.as_str(), asked.body_bytes), (path, 7));
        assert_eq!(asked.header("authorization"), Some("Bearer secret"));
        assert_eq!(asked.authority, server.address().to_string());
    }
    server.forget_requests();
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn unknown_resource_has_the_five_real_shapes() {
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let cases = [
        ("/apis/example.com/v1/things", "application/json", 19, "text/plain; charset=utf-8"),
        ("/api/v1/things", "application/json", 174, "application/json"),
        ("/api/v1/things?pretty=true", "application/json", 206, "application/json"),
        ("/apis/apps/v2/deployments", "image/png", 206, "application/json"),
        ("/apis/apps/v1/deployments/x/scale", PROTOBUF, 116, PROTOBUF),
        ("/apis/apps/v1/things", "application/yaml", 154, "application/yaml"),
    ];
    let (_server, clients) = server().await.unwrap();
    for client in &clients {
        for (path, accept, length, content_type) in cases {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                let request = Request::new(method.clone(), path).header("accept", accept);
                let answer = client.send(request).await.unwrap();
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
                assert_eq!(answer.header("content-length"), Some(&*length.to_string()), "{path}");
                assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
                let body_bytes = if method == Method::HEAD { 0 } else { length };
                assert_eq!(answer.body.len(), body_bytes, "{method} {path}");
            }
        }
    }
}

/// The one test here with a real server: it holds the simulated one to it.
#[tokio::test]
async fn not_found_and_not_modified_are_a_real_servers_byte_for_byte() {
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf,application/json";
    let real = ControlPlane::builder().server("real", "1.36.3").start().await.unwrap();
    let address = real.address("real").unwrap().parse().unwrap();
    let trusted = std::fs::read_to_string(&real.pki().serving_ca).unwrap();
    let (server, simulated) = server().await.unwrap();
    server.set_fault(Matcher::prefix("/api/v1/namespaces/default/"), Fault::MissingObject);
    server.set_fault(Matcher::prefix("/apis/apps/v1/namespaces/default/"), Fault::MissingObject);
    for (simulated, protocol) in simulated.iter().zip([Protocol::Http1, Protocol::Http2]) {
        let real = Client::new(address, &trusted, protocol).unwrap().with_token(ADMIN_TOKEN);
        for path in [
            "/api/v1/things",
            "/api/v1/things?pretty=true",
            "/api/v2/pods",
            "/apis/apps/v1/namespaces/x/deployments/y/things",
            "/apis/apps/v2/deployments",
            "/apis/apps/v2",
            "/apis/example.com",
            "/apis/example.com/v1",
            "/apis/example.com/v1/things",
            "/apis//apps/v1/deployments",
            "/api/v1/namespaces/default/pods/abc",
            "/apis/apps/v1/namespaces/default/deployments/abc",
        ] {
            for accept in ["application/json", "application/yaml", PROTOBUF, "image/png", "*/*"] {
                for method in [Method::GET, Method::HEAD] {
                    // For objects a real server has no HEAD (405), and 406 for images.
                    let is_odd = method == Method::HEAD || accept == "image/png";
                    if is_odd && path.contains("/default/") {
                        continue;
                    }
                    let request = Request::new(method.clone(), path).header("accept", accept);
                    let expected = comparable(&real.send(request.clone()).await.unwrap());
                    let got = comparable(&simulated.send(request).await.unwrap());
                    assert_eq!(got, expected, "{method} {path} {accept}");
                }
            }
        }
        for path in ["/api", "/apis"] {
            let request = Request::get(path).header("accept", AGGREGATED);
            let again = async |client: &Client| {
                let first = client.send(request.clone()).await.unwrap();
                let tag = first.header("etag").unwrap();
                let again = client.send(request.clone().header("if-none-match", tag)).await;
                let mut heads = [comparable(&first).0, comparable(&again.unwrap()).0];
                // Go sends what is longer than 2 kB in chunks.
                let framing = ["content-length", "transfer-encoding"];
                heads[0].retain(|line| !framing.iter().any(|name| line.starts_with(name)));
                heads
            };
            assert_eq!(again(simulated).await, again(&real).await, "{path}");
        }
    }
}

/// What two servers must agree on, sorted: status and headers but for dates and ids; and the body.
fn comparable(answer: &Answer) -> (Vec<String>, String) {
    let mut head = vec![format!(":status: {}", answer.status)];
    for (name, value) in &answer.headers {
        let is_own = ["date", "audit-id", "etag"].contains(&name.as_str());
        if !is_own && !name.as_str().starts_with("x-kubernetes-pf-") {
            head.push(format!("{name}: {}", value.as_bytes().escape_ascii()));
        }
    }
    head.sort();
    (head, answer.body.escape_ascii().to_string())
}

#[tokio::test]
async fn missing_object_is_named_even_when_its_answer_has_the_length_of_an_unknown_resources() {
    let (server, clients) = server().await.unwrap();
    server.set_fault(Matcher::prefix("/api"), Fault::MissingObject);
    for client in &clients {
        let answer = client.get("/api/v1/namespaces/default/pods/abc").await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_FOUND, 174));
        let status = answer.json().unwrap();
        assert_eq!(status["message"], json!("pods \"abc\" not found"));
        assert_eq!(status["details"], json!({"name": "abc", "kind": "pods"}));
        let status = client.get("/apis/apps/v1/deployments/x").await.unwrap().json().unwrap();
        assert_eq!(status["message"], json!("deployments.apps \"x\" not found"));
        assert_eq!(client.get(PODS).await.unwrap().status, StatusCode::OK, "names no object");
    }
}

#[tokio::test]
async fn unchanged_discovery_is_304_until_it_changes() {
    let (server, clients) = server().await.unwrap();
    for client in &clients {
        server.set_discovery(Discovery::of(&LISTED).unwrap());
        for path in ["/api", "/apis"] {
            let request = Request::get(path).header("accept", AGGREGATED);
            let first = client.send(request.clone()).await.unwrap();
            let content_type = AGGREGATED.split(',').next();
            assert_eq!(
                (first.status, first.header("content-type")),
                (StatusCode::OK, content_type)
            );
            let tag = first.header("etag").unwrap();
            let again = request.header("if-none-match", tag);
            let unchanged = client.send(again.clone()).await.unwrap();
            assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
            assert_eq!((unchanged.header("etag"), unchanged.body.len()), (Some(tag), 0));
            assert_eq!(unchanged.header("content-type"), None);
            server.set_discovery(Discovery::of(&["/api/v1/a", "/apis/b.c/v1/d"]).unwrap());
            assert_eq!(client.send(again).await.unwrap().status, StatusCode::OK);
            server.set_discovery(Discovery::of(&LISTED).unwrap());
        }
    }
}

#[tokio::test]
async fn discovery_has_the_form_that_the_server_speaks() {
    let (server, [client, _]) = server().await.unwrap();
    let discovery = Discovery::of(&LISTED).unwrap();
    let request = Request::get("/apis").header("accept", AGGREGATED);
    for (speaks, kind, version) in [
        (Speaks::V2, "APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"),
        (Speaks::V2Beta1, "APIGroupDiscoveryList", "apidiscovery.k8s.io/v2beta1"),
        (Speaks::Plain, "APIGroupList", "v1"),
    ] {
        server.set_discovery(discovery.clone().speaking(speaks));
        let answer = client.send(request.clone()).await.unwrap();
        let document = answer.json().unwrap();
        assert_eq!((&document["kind"], &document["apiVersion"]), (&json!(kind), &json!(version)));
        assert_eq!(answer.header("etag").is_some(), speaks != Speaks::Plain);
    }
    let storage = client.get("/apis/storage.k8s.io/v1").await.unwrap().json().unwrap();
    assert_eq!(storage["resources"][1]["name"], json!("csinodes/status"));
    let core = client.get("/api/v1").await.unwrap().json().unwrap();
    assert_eq!(core["resources"][0]["name"], json!("pods"));
}

#[tokio::test]
async fn given_documents_are_served_as_they_are_and_decide_what_is_listed() {
    let (server, [client, _]) = server().await.unwrap();
    let api = br#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{},"versions":[
        {"version":"v1","resources":[{"resource":"nodes","verbs":["get"]}]}]}]}"#;
    let apis = br#"{"items":[{"metadata":{"name":"g.io"},"versions":[{"version":"v1","resources":
        [{"resource":"parents","verbs":null,"subresources":[{"subresource":"scale"}]}]}]}]}"#;
    server.set_discovery(Discovery::from_documents(api, apis).unwrap());
    let request = Request::get("/apis").header("accept", AGGREGATED);
    assert_eq!(client.send(request).await.unwrap().body, &apis[..]);
    for (path, status) in [
        ("/api/v1/nodes", 200),
        ("/api/v1/pods", 404),
        ("/apis/g.io/v1/parents/p/scale", 200),
        ("/apis/g.io/v1/parents", 404),
        ("/apis/apps/v1/deployments", 404),
    ] {
        assert_eq!(client.get(path).await.unwrap().status.as_u16(), status, "{path}");
    }
    let error = Discovery::from_documents(api, b"{").unwrap_err();
    assert_eq!(error.to_string(), "the document of /apis");
}

#[tokio::test]
async fn plain_paths_tell_health_and_version() {
    let (_server, [client, _]) = server().await.unwrap();
    assert_eq!(client.get("/readyz").await.unwrap().text(), "ok");
    assert_eq!(client.get("/version").await.unwrap().json().unwrap()["minor"], json!("36"));
}

#[tokio::test]
async fn raw_target_goes_out_byte_for_byte() {
    let (server, clients) = server().await.unwrap();
    let odd = ["/apis/%61pps/v1//x", "/api/v1/../v1/pods", "/api/%zz", "/api/v1/pods?a=%&b=/../c"];
    for client in &clients {
        for target in odd {
            server.forget_requests();
            client.raw(Request::get(target)).await.unwrap();
            assert_eq!(server.requests()[0].target, target);
        }
        let long = format!("/api/v1/{}", "x".repeat(60_000));
        assert_eq!(client.get(&long).await.unwrap().status, StatusCode::NOT_FOUND);
        let escaped = Request::get("/apis/%61pps%2Fv1/deployments");
        assert_eq!(client.raw(escaped).await.unwrap().status, StatusCode::OK);
        let write =
            Request::new(Method::POST, PODS).header("x-a", b"\xff".to_vec()).body("a/b", "12");
        let echo = client.raw(write).await.unwrap().json().unwrap();
        assert_eq!(echo["bodyBytes"], json!(2));
        let asked = server.requests();
        assert_eq!(asked.last().unwrap().headers["x-a"].as_bytes(), b"\xff");
        server.set_fault(Matcher::Everything, Fault::CutMidway);
        let error = client.raw(Request::get(PODS)).await.unwrap_err();
        assert!(format!("{error:#}").contains("the body broke off"), "{error:#}");
        server.heal_all();
    }
    let space = clients[0].raw(Request::get("/api/v1/a b")).await.unwrap();
    assert_eq!(space.status, StatusCode::BAD_REQUEST);
    let space = clients[1].raw(Request::get("/api/v1/a b")).await.unwrap_err();
    assert!(format!("{space:#}").contains("only go out on HTTP/1.1"), "{space:#}");
}

#[tokio::test]
async fn path_that_a_url_would_rewrite_is_refused_by_the_client() {
    let (server, clients) = server().await.unwrap();
    for path in ["/api/../apis", "/a b", "/a#b", "/\u{e9}", "no-slash"] {
        let error = clients[0].get(path).await.unwrap_err();
        assert!(format!("{error:#}").contains("use raw"), "{error:#}");
    }
    assert_eq!(clients[0].get("/api/v1//%61").await.unwrap().status, StatusCode::NOT_FOUND);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn many_requests_run_so_many_at_a_time_and_answer_in_order() {
    let (server, clients) = server().await.unwrap();
    for client in &clients {
        server.forget_requests();
        let path = |number: usize| format!("/api/v1/namespaces/x/pods/p-{number}");
        let requests = (0..40).map(|number| Request::get(path(number))).collect();
        server.set_fault(Matcher::Everything, Fault::SlowHead(Duration::from_millis(20)));
        let started = Instant::now();
        let answers = client.many(requests, 10).await;
        assert!(started.elapsed() >= Duration::from_millis(80), "four rounds of ten");
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.unwrap().json().unwrap()["target"], json!(path(number)));
        }
        let peers: HashSet<_> = server.requests().iter().map(|request| request.peer).collect();
        assert!(peers.len() <= 10, "{} connections", peers.len());
        server.heal_all();
    }
}

#[tokio::test]
async fn lines_arrive_before_the_answer_ends() {
    let (server, clients) = server().await.unwrap();
    let list: Vec<String> = (0..300).map(|number| format!("/apis/g.io/v1/r{number}")).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    server.set_discovery(Discovery::of(&list).unwrap());
    server.set_fault(Matcher::Everything, Fault::SlowBody(Duration::from_secs(600)));
    for client in &clients {
        // Indented plain discovery is the longest text with newlines that there is.
        let mut lines = client.lines(Request::get("/apis/g.io/v1?pretty=true")).await.unwrap();
        assert_eq!(lines.status(), StatusCode::OK);
        assert_eq!(lines.next(SOON).await.unwrap().unwrap(), "{");
        let second = lines.next(SOON).await.unwrap().unwrap();
        assert_eq!(second, "  \"apiVersion\": \"v1\",");
        let mut rest = Ok(None);
        for _ in 0..10_000 {
            rest = lines.next(SHORT).await;
            if rest.is_err() {
                break;
            }
        }
        assert!(format!("{:#}", rest.unwrap_err()).contains("no line within"));
    }
    server.heal_all();
    let mut lines = clients[1].lines(Request::get(PODS)).await.unwrap();
    assert!(lines.next(SOON).await.unwrap().is_some());
    assert!(lines.next(SOON).await.unwrap().is_none());
}
