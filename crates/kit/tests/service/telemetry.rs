use axum::{Router, body::Bytes, extract::Path, routing::get};
use triton_kit::health::{self, Readiness};

use crate::{Service, client};

fn router() -> Router {
    let readiness = Readiness::new(async || Err("waits for the database".to_owned()));
    let (health, _) = health::routes::<()>(readiness).split_for_parts();
    Router::new()
        .route("/blobs/{*key}", get(async |Path(_): Path<String>| Bytes::from_static(b"0123456789")))
        .merge(health)
}

#[tokio::test]
async fn request_id_of_the_caller_is_kept_if_it_is_one() {
    let service = Service::start(router()).await;
    let answered = async |sent: &str| {
        let request = client().get(service.url("/healthz")).header("x-request-id", sent);
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let id = "0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234";
    assert_eq!(answered(id).await, id);
    let fresh = answered("x\"} level=error").await;
    assert_eq!(fresh.len(), 36);
    assert_eq!(&fresh[14..15], "7", "a UUID of version 7");
}

#[tokio::test]
async fn metrics_count_by_route_and_not_by_path() {
    triton_kit::metrics::init();
    let service = Service::start(router()).await;
    for key in ["a", "b/c"] {
        let response = service.get(&format!("/blobs/{key}")).await;
        assert_eq!(response.content_length(), Some(10), "the length stays known");
        assert_eq!(response.bytes().await.unwrap().len(), 10);
    }
    let bytes = async || {
        let text = service.get("/metrics").await.text().await.unwrap();
        let line =
            text.lines().find(|line| line.starts_with(r#"http_response_bytes_total{service="test",route="/blobs"#));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(bytes().await, "20");
    client().request("BREW".parse().unwrap(), service.url("/blobs/a")).send().await.unwrap();
    let text = service.get("/metrics").await.text().await.unwrap();
    let line = |start: &str| {
        let found = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in\n{text}"));
        found.rsplit(' ').next().unwrap().to_owned()
    };
    let labels = r#"service="test",route="/blobs/{*key}",method="GET""#;
    assert_eq!(line(&format!(r#"http_requests_total{{{labels},status="200"}}"#)), "2");
    assert_eq!(line(&format!("http_request_duration_seconds_count{{{labels}}}")), "2");
    assert!(text.contains(r#"method="other",status="405""#), "{text}");
}

#[tokio::test]
async fn service_that_waits_is_alive_and_not_ready() {
    let service = Service::start(router()).await;
    assert_eq!(service.get("/healthz").await.text().await.unwrap(), r#"{"status":"ok"}"#);
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("waits for the database"));
}
