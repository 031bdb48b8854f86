//! What a simulated server can be made to do wrong, and that it does it.

use std::collections::HashSet;
use std::time::Instant;

use hyper::{StatusCode, Version};
use peerway_harness::simulated::{BlackHole, Fault, Matcher, Reply};
use serde_json::json;

use super::{PODS, SHORT, SOON, failure, server};

#[tokio::test]
async fn fault_strikes_what_it_matches_and_nothing_once_healed() {
    let (server, clients) = server().await.unwrap();
    let refused = Fault::retry_after(StatusCode::TOO_MANY_REQUESTS, 7);
    for client in &clients {
        server.set_fault(Matcher::path("/apis"), refused.clone());
        server.set_fault(Matcher::Everything, Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
        server.set_fault(Matcher::path(PODS), refused.clone());
        let answer = client.get("/api/v1/pods?limit=1").await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("7")));
        assert_eq!(client.get("/apis").await.unwrap().status.as_u16(), 500, "the later one counts");
        server.heal(&Matcher::Everything);
        assert_eq!(client.get("/apis").await.unwrap().status.as_u16(), 429);
        assert_eq!(client.get("/apis/apps").await.unwrap().status.as_u16(), 200);
        server.heal_all();
        assert_eq!(client.get("/apis").await.unwrap().status.as_u16(), 200);
    }
}

#[tokio::test]
async fn wrong_contents_arrive_as_ordered() {
    let (server, clients) = server().await.unwrap();
    for client in &clients {
        let usual = client.get(PODS).await.unwrap();
        let strike = async |fault: Fault| {
            server.set_fault(Matcher::Everything, fault);
            client.get(PODS).await.unwrap()
        };
        let truncated = strike(Fault::Truncated).await;
        assert_eq!(truncated.body, usual.body[..usual.body.len() / 2]);
        assert!(truncated.json().is_err());
        let disguised = strike(Fault::ContentType("text/html")).await;
        assert_eq!(disguised.header("content-type"), Some("text/html"));
        assert_eq!(disguised.body, usual.body);
        let garbage = strike(Fault::Garbage).await;
        assert_eq!((garbage.body.len(), garbage.status), (4096, StatusCode::OK));
        assert!(std::str::from_utf8(&garbage.body).is_err());
        let groups = strike(Fault::Groups(10_000)).await.json().unwrap();
        assert_eq!(groups["items"].as_array().unwrap().len(), 10_000);
        let large = strike(Fault::Megabytes(5)).await;
        assert_eq!(large.body.len() >> 20, 5);
        assert_eq!(large.json().unwrap()["kind"], json!("APIGroupDiscoveryList"));
        let unknown = strike(Fault::UnknownResource).await;
        assert_eq!((unknown.status, unknown.body.len()), (StatusCode::NOT_FOUND, 174));
        let own = Reply::new(StatusCode::IM_A_TEAPOT).body("text/plain", "short and stout");
        let own = strike(Fault::Reply(own)).await;
        assert_eq!((own.status.as_u16(), &*own.text()), (418, "short and stout"));
        server.heal_all();
    }
}

#[tokio::test]
async fn slow_head_and_slow_body_take_their_time() {
    let (server, clients) = server().await.unwrap();
    for client in &clients {
        server.set_fault(Matcher::Everything, Fault::SlowHead(SHORT));
        let started = Instant::now();
        assert_eq!(client.get(PODS).await.unwrap().status, StatusCode::OK);
        assert!(started.elapsed() >= SHORT);

        server.set_fault(Matcher::Everything, Fault::SlowBody(SHORT));
        let started = Instant::now();
        let slow = client.get(PODS).await.unwrap();
        assert!(started.elapsed() >= SHORT);
        assert_eq!(slow.json().unwrap()["server"], json!("cp-1"));
    }
}

#[tokio::test]
async fn request_that_hangs_ends_at_the_clients_deadline() {
    let (server, clients) = server().await.unwrap();
    for client in &clients {
        // Not while it connects.
        assert_eq!(client.get("/apis").await.unwrap().status, StatusCode::OK);
        server.set_fault(Matcher::path(PODS), Fault::Hang);
        assert!(failure(client, SHORT).await.contains("no complete answer within"));
        assert_eq!(server.requests_to(&Matcher::path(PODS)).len(), 1, "and was not sent again");
        server.forget_requests();
        assert_eq!(client.get("/apis").await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test]
async fn cut_breaks_the_connection_before_or_amid_the_answer() {
    let (server, clients) = server().await.unwrap();
    for client in &clients {
        server.set_fault(Matcher::path(PODS), Fault::Cut);
        let before = failure(client, SOON).await;
        assert!(before.contains("no answer"), "{before}");
        server.set_fault(Matcher::path(PODS), Fault::CutMidway);
        let amid = failure(client, SOON).await;
        assert!(amid.contains("the body broke off"), "{amid}");
        server.heal_all();
        assert_eq!(client.get(PODS).await.unwrap().status, StatusCode::OK);
        let asked = server.requests_to(&Matcher::path(PODS));
        let connections: HashSet<_> = asked.iter().map(|request| request.peer).collect();
        assert_eq!((asked.len(), connections.len()), (3, 3), "each broke its connection");
        server.forget_requests();
    }
}

#[tokio::test]
async fn refused_stream_leaves_the_connection_and_goaway_ends_it() {
    let (server, [http1, http2]) = server().await.unwrap();
    for (fault, connections) in [(Fault::RefuseStream, 1), (Fault::GoAway, 2)] {
        server.forget_requests();
        assert_eq!(http2.get(PODS).await.unwrap().status, StatusCode::OK);
        server.set_fault(Matcher::Everything, fault);
        let refused = failure(&http2, SOON).await;
        assert!(refused.contains("refused stream"), "{refused}");
        assert!(failure(&http1, SOON).await.contains("no answer"));
        server.heal_all();
        assert_eq!(http2.get(PODS).await.unwrap().status, StatusCode::OK);
        let mut asked = server.requests();
        asked.retain(|request| request.version == Version::HTTP_2);
        let peers: HashSet<_> = asked.iter().map(|request| request.peer).collect();
        assert_eq!((asked.len(), peers.len()), (3, connections));
    }
}

#[tokio::test]
async fn closed_server_refuses_and_comes_back_on_its_port() {
    let (mut server, clients) = server().await.unwrap();
    for client in &clients {
        assert_eq!(client.get(PODS).await.unwrap().status, StatusCode::OK);
    }
    server.close().await;
    for client in &clients {
        let refused = failure(client, SOON).await;
        assert!(refused.contains("Connection refused"), "{refused}");
    }
    server.open().await.unwrap();
    for client in &clients {
        assert_eq!(client.get(PODS).await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test]
async fn mute_server_and_black_hole_never_answer_a_handshake() {
    let (mut server, clients) = server().await.unwrap();
    server.mute().await.unwrap();
    assert!(tokio::net::TcpStream::connect(server.address()).await.is_ok());
    for client in &clients {
        assert!(failure(client, SHORT).await.contains("no complete answer within"));
    }
    server.open().await.unwrap();
    assert_eq!(clients[0].get(PODS).await.unwrap().status, StatusCode::OK);

    let hole = BlackHole::new().await.unwrap();
    let connecting = tokio::net::TcpStream::connect(hole.address());
    assert!(tokio::time::timeout(SHORT, connecting).await.is_err());
}
