//! What Peerway and Envoy answer by themselves: each a Kubernetes `Status` that says why, with
//! `Retry-After` only where nothing was executed, and never a 404.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::Balancer;
use peerway_harness::client::{Answer, Protocol, Request};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::simulated::{Discovery, Fault, Matcher};

use crate::rig::{SimulatedPlane, no_vm_died};

const EVERYBODYS: &str = "/api/v1/things";
/// Only the first server has it.
const THE_FIRSTS: &str = "/apis/example.com/v1/things";

/// Request, status, reason of the `Status` (empty: none), a word of its message.
type Row = (Request, u16, &'static str, &'static str);

/// What no server ever sees.
fn refused_by_envoy() -> Vec<Row> {
    let get = Request::get(EVERYBODYS);
    let large =
        (0..10).fold(get.clone(), |all, at| all.header(&format!("x-{at}"), vec![b'v'; 90_000]));
    let many = (0..10_001).fold(get.clone(), |all, at| all.header(&format!("x-{at}"), "v"));
    let upgrade = get.clone().header("connection", "upgrade").header("upgrade", "odd");
    let method = |method: &str, target: &str| {
        Request::new(Method::from_bytes(method.as_bytes()).unwrap(), target)
    };
    vec![
        (Request::get("no-slash"), 400, "BadRequest", "http1.codec_error"),
        (Request::get("/#fragment"), 400, "BadRequest", "path_normalization_failed"),
        (method("FOO", EVERYBODYS), 400, "BadRequest", "http1.codec_error"),
        (get.clone().header("x-odd", "\x01"), 400, "BadRequest", "http1.invalid_characters"),
        (get.clone().header("connection", "host"), 400, "BadRequest", "missing_host_header"),
        (method("OPTIONS", "*"), 400, "BadRequest", "absolute_path_rejected"),
        (upgrade, 400, "BadRequest", "upgrade_failed"),
        (method("CONNECT", "example.com:443"), 405, "MethodNotAllowed", "method"),
        (large, 431, "", "http1.headers_too_large"),
        (many, 431, "", "http1.too_many_headers"),
        (get.header("transfer-encoding", "odd"), 501, "", "http1.invalid_transfer_encoding"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_peerway_answers_by_itself_is_a_status_that_says_why() {
    let all = Discovery::of(&[EVERYBODYS, THE_FIRSTS]).unwrap();
    let fewer = Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments"]).unwrap();
    let mut plane = SimulatedPlane::start(vec![("a", all), ("b", fewer)]).await.unwrap();
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    for row in refused_by_envoy() {
        check(&balancer, row, None).await.unwrap();
    }

    let post = |path| Request::new(Method::POST, path).body("application/json", "{}");
    for server in &plane.servers {
        server.set_fault(Matcher::Everything, Fault::Cut);
    }
    for path in [EVERYBODYS, THE_FIRSTS] {
        check(&balancer, (post(path), 502, "", "may have executed"), None).await.unwrap();
        let read = (Request::get(path), 503, "ServiceUnavailable", "lost the kube-apiserver");
        check(&balancer, read, Some("1")).await.unwrap();
    }
    plane.servers.iter().for_each(|server| server.heal_all());
    balancer.all_confirmed().await.unwrap();

    plane.servers[0].close().await;
    let doubted = "another that may know it could not be asked";
    let unreachable = "no kube-apiserver that may serve this can be reached";
    for request in [Request::get(THE_FIRSTS), post(THE_FIRSTS)] {
        let answer = ask(&balancer, &request).await.unwrap();
        let text = answer.text();
        let says_why = text.contains(doubted) || text.contains(unreachable);
        assert!(says_why && answer.status == 503, "{request:?}: {} {text}", answer.status);
        is_status(&answer, 503, "ServiceUnavailable", "", Some("1")).unwrap();
    }
    plane.servers[1].close().await;
    for path in [EVERYBODYS, THE_FIRSTS, "/version"] {
        let row = (Request::get(path), 503, "ServiceUnavailable", unreachable);
        check(&balancer, row, Some("1")).await.unwrap();
    }
    no_vm_died(&mut balancer).await.unwrap();
}

async fn ask(balancer: &Balancer, request: &Request) -> Result<Answer> {
    balancer.client(ADMIN_TOKEN, Protocol::Http1)?.raw(request.clone()).await
}

async fn check(balancer: &Balancer, row: Row, retry_after: Option<&str>) -> Result<()> {
    let (request, code, reason, word) = row;
    let answer = ask(balancer, &request).await?;
    let what = || {
        let shown: String = format!("{request:?}").chars().take(200).collect();
        format!("{shown}: {} {}", answer.status, answer.text())
    };
    is_status(&answer, code, reason, word, retry_after).with_context(what)
}

fn is_status(
    answer: &Answer,
    code: u16,
    reason: &str,
    word: &str,
    retry_after: Option<&str>,
) -> Result<()> {
    ensure!(answer.status == code, "not {code}");
    ensure!(answer.header("content-type") == Some("application/json"), "{:?}", answer.headers);
    ensure!(answer.header("retry-after") == retry_after, "{:?}", answer.headers);
    let status = answer.json()?;
    let told = status["message"].as_str().context("no message")?;
    let is_whole = status["kind"] == "Status"
        && status["apiVersion"] == "v1"
        && status["status"] == "Failure"
        && status["code"] == code
        && status["reason"].as_str().unwrap_or_default() == reason;
    ensure!(is_whole && told.contains(word), "{status}");
    Ok(())
}
