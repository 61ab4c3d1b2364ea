use axum::{
    Router,
    response::IntoResponse as _,
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use reqwest::Response;
use serde::{Deserialize, Serialize};
use triton_api::{Problem, ProblemType, VideoId, problem::PROBLEM_JSON};
use triton_kit::{
    ApiError,
    extract::{Json, Path, Query},
};

use crate::{Service, client};

#[derive(Serialize, Deserialize)]
struct Asked {
    limit: u32,
}

fn router() -> Router {
    Router::new()
        .route("/videos/{id}", get(async |Path(id): Path<VideoId>| id.to_string()))
        .route("/list", get(async |Query(asked): Query<Asked>| Json(asked)))
        .route("/json", post(async |Json(asked): Json<Asked>| Json(asked)))
        .route("/maybe", post(async |asked: Option<Json<Asked>>| asked.map_or(0, |Json(a)| a.limit).to_string()))
        .route("/gone", get(async || ApiError::new(ProblemType::Gone, "It was deleted.")))
        .route("/broken", get(async || ApiError::internal(std::io::Error::other("/secret/path: disk on fire"))))
        .route("/busy", get(async || ApiError::new(ProblemType::Unavailable, "One of two nodes answered.")))
        .route("/panic", get(panics))
        .route("/range", get(out_of_range))
        .route("/bare", get(async || StatusCode::BAD_GATEWAY))
        .route("/own", get(async || (StatusCode::NOT_FOUND, axum::response::Html("<p>mine")).into_response()))
}

async fn panics() {
    panic!("password is hunter2")
}

async fn out_of_range() -> ApiError {
    ApiError::new(ProblemType::RangeNotSatisfiable, "It has 7 bytes.")
        .with_header(header::CONTENT_RANGE, HeaderValue::from_static("bytes */7"))
}

/// Asserts that the answer is a problem whose instance is the request id.
async fn problem(response: Response) -> Problem {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status);
    assert_eq!(problem.instance, Some(format!("urn:uuid:{id}")));
    problem
}

#[tokio::test]
async fn what_the_router_does_not_know_is_a_problem() {
    let service = Service::start(router()).await;
    let absent = problem(service.get("/nothing").await).await;
    assert_eq!(absent.problem_type(), Some(ProblemType::NotFound));
    let response = client().delete(service.url("/gone")).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    assert!(response.headers().get("server").is_none());
    assert_eq!(problem(response).await.problem_type(), Some(ProblemType::MethodNotAllowed));
}

#[tokio::test]
async fn error_keeps_its_detail_and_headers() {
    let service = Service::start(router()).await;
    let gone = problem(service.get("/gone").await).await;
    assert_eq!((gone.status, gone.detail.as_str()), (410, "It was deleted."));
    let range = service.get("/range").await;
    assert_eq!(range.headers()["content-range"], "bytes */7");
    assert_eq!(problem(range).await.status, 416);
    let busy = service.get("/busy").await;
    assert_eq!(busy.headers()["retry-after"], "2");
    assert_eq!(problem(busy).await.detail, "One of two nodes answered.");
}

#[tokio::test]
async fn internal_error_and_panic_reveal_nothing() {
    let service = Service::start(router()).await;
    for path in ["/broken", "/panic", "/bare"] {
        let body = serde_json::to_string(&problem(service.get(path).await).await).unwrap();
        assert!(body.contains("request id"), "{body}");
        for secret in ["fire", "secret", "hunter2", "panic", "path"] {
            assert!(!body.contains(secret), "{path} revealed {secret}: {body}");
        }
    }
}

#[tokio::test]
async fn body_of_the_service_itself_is_left_alone() {
    let service = Service::start(router()).await;
    let response = service.get("/own").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.text().await.unwrap(), "<p>mine");
}

#[tokio::test]
async fn rejected_input_says_what_is_wrong_with_it() {
    let service = Service::start(router()).await;
    let id = problem(service.get("/videos/xyz").await).await;
    assert_eq!(id.problem_type(), Some(ProblemType::BadRequest));
    assert!(id.detail.contains("`xyz` is not a video id"), "{}", id.detail);
    let query = problem(service.get("/list?limit=many").await).await;
    assert!(query.status == 400 && query.detail.contains("limit"), "{}", query.detail);

    let post = |path: &str| client().post(service.url(path));
    let status = async |request: reqwest::RequestBuilder| problem(request.send().await.unwrap()).await.status;
    assert_eq!(status(post("/json").json(&serde_json::json!({"limit": "x"}))).await, 422);
    assert_eq!(status(post("/json").header("content-type", "application/json").body("{")).await, 400);
    assert_eq!(status(post("/json").body("limit=1")).await, 415);
    assert_eq!(status(post("/json").header("content-type", "application/json").body(vec![b' '; 3 << 20])).await, 413);

    let absent = post("/maybe").send().await.unwrap();
    assert_eq!(absent.text().await.unwrap(), "0");
    let present = post("/maybe").json(&serde_json::json!({"limit": 7})).send().await.unwrap();
    assert_eq!(present.text().await.unwrap(), "7");
}
