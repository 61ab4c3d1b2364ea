//! A server that answers from a script: what a path answers, one answer after the other, the last one for good.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, Uri, header::CONTENT_TYPE};
use serde::Serialize;
use tokio::net::TcpListener;
use triton_api::{Problem, ProblemType, problem::PROBLEM_JSON};

#[derive(Clone)]
struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Vec<Answer>>,
    seen: Vec<Seen>,
}

#[derive(Clone, Default)]
pub(crate) struct Server {
    script: Arc<Mutex<Script>>,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, ..Self::default() };
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    /// Adds an answer to `request` (`GET /api/v1/videos`, without the query).
    pub(crate) fn on(&self, request: &str, status: u16, body: &impl Serialize) -> &Self {
        self.add(request, status, "application/json", serde_json::to_string(body).unwrap())
    }

    pub(crate) fn on_problem(&self, request: &str, kind: ProblemType, detail: &str) -> &Self {
        let mut problem = Problem::new(kind, detail);
        problem.instance = Some("urn:uuid:0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234".to_owned());
        self.add(request, problem.status, PROBLEM_JSON, serde_json::to_string(&problem).unwrap())
    }

    pub(crate) fn on_events(&self, request: &str, events: &[impl Serialize]) -> &Self {
        let block = |event| format!("event: video\ndata: {}\n\n", serde_json::to_string(event).unwrap());
        let body = events.iter().map(block).collect::<String>();
        self.add(request, 200, "text/event-stream", format!(": hello\n\n{body}"))
    }

    /// Adds an answer of JSON lines.
    pub(crate) fn on_lines(&self, request: &str, lines: &str) -> &Self {
        self.add(request, 200, "application/x-ndjson", lines.to_owned())
    }

    fn add(&self, request: &str, status: u16, content_type: &'static str, body: String) -> &Self {
        let mut script = self.script.lock().unwrap();
        script.answers.entry(request.to_owned()).or_default().push(Answer { status, content_type, body });
        drop(script);
        self
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }

    /// The requests that changed something.
    pub(crate) fn changes(&self) -> Vec<String> {
        let lines = self.seen().into_iter().map(|seen| seen.line);
        lines.filter(|line| !line.starts_with("GET ")).collect()
    }
}

async fn answer(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut script = server.script.lock().unwrap();
    script.seen.push(Seen { line: format!("{method} {uri}"), headers, body });
    let key = format!("{method} {}", uri.path());
    let answers = script.answers.get_mut(&key).unwrap_or_else(|| panic!("the script has no {key}"));
    let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
    Response::builder()
        .status(StatusCode::from_u16(answer.status).unwrap())
        .header(CONTENT_TYPE, answer.content_type)
        .body(Body::from(answer.body))
        .unwrap()
}
