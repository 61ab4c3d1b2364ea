use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode};

use crate::{Service, client};

/// Every address below `/kept/` is answered from memory, and by the router where the request has to be routed.
fn service() -> triton_kit::Service {
    let router = Router::new().route("/kept/{name}", get(async || "routed").post(async || "posted"));
    let router = triton_kit::layers::layers(router, "fast");
    triton_kit::Service::from(router).with_fast_path("fast", "/kept/{name}", |uri, headers| {
        assert!(uri.path() != "/kept/broken", "a bug");
        let is_kept = uri.path().starts_with("/kept/") && !headers.contains_key("x-fresh");
        is_kept.then(|| axum::response::Response::new(Body::from("kept")))
    })
}

#[tokio::test]
async fn answer_from_memory_has_what_every_answer_has() {
    let service = Service::start_whole(service(), Duration::from_secs(5)).await;
    let id = "0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234";
    let request = client().get(service.url("/kept/a")).header("x-request-id", id);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-request-id"], id);
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.text().await.unwrap(), "kept");
    let fresh = client().get(service.url("/kept/b")).header("x-fresh", "1").send().await.unwrap();
    assert_eq!(fresh.text().await.unwrap(), "routed");

    let metrics = triton_kit::metrics::init().render();
    let labels = r#"service="fast",route="/kept/{name}""#;
    for line in [
        format!(r#"http_requests_total{{{labels},method="GET",status="200"}} 2"#),
        format!(r#"http_request_duration_seconds_count{{{labels},method="GET"}} 2"#),
        format!("http_response_bytes_total{{{labels}}} 10"),
    ] {
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn only_a_plain_get_is_answered_from_memory() {
    let service = service();
    let request = |method: &str, body: &'static str| {
        Request::builder().method(method).uri("/kept/a").body(Body::from(body)).unwrap()
    };
    assert!(service.at_once(&request("GET", "")).is_some());
    for (method, body) in [("GET", "body"), ("HEAD", ""), ("POST", ""), ("DELETE", "")] {
        assert!(service.at_once(&request(method, body)).is_none(), "{method} {body}");
    }
}

#[tokio::test]
async fn router_answers_where_the_fast_path_panics() {
    let service = Service::start_whole(service(), Duration::from_secs(5)).await;
    assert_eq!(service.get("/kept/broken").await.text().await.unwrap(), "routed");
}
