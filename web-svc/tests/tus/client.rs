//! A client of the protocol that does what it is told, wrong things included.

use std::collections::BTreeMap;

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use triton_testkit::WebService;

pub(crate) const UPLOADS: &str = "/api/v1/uploads";
const CHUNK: &str = "application/offset+octet-stream";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) problem: Option<Value>,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let is_problem = headers.get("content-type").is_some_and(|value| value == "application/problem+json");
        let body = response.bytes().await.unwrap();
        let problem = (is_problem && !body.is_empty()).then(|| serde_json::from_slice(&body).unwrap());
        Self { status, headers, problem }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn offset(&self) -> u64 {
        self.header("upload-offset").unwrap_or_else(|| panic!("no offset in {self:?}")).parse().unwrap()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Tus {
    pub(crate) origin: String,
    http: reqwest::Client,
}

impl Tus {
    pub(crate) fn new(web: &WebService) -> Self {
        Self { origin: web.origin.clone(), http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// A request as it is: without the protocol's version unless it is given.
    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.origin)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let all: Vec<_> = [("tus-resumable", "1.0.0")].into_iter().chain(headers.iter().copied()).collect();
        self.raw(method, path, &all, body).await
    }

    /// Creates an upload and returns its path.
    pub(crate) async fn create(&self, len: usize, headers: &[(&str, &str)]) -> String {
        let len = len.to_string();
        let all: Vec<_> = [("upload-length", len.as_str())].into_iter().chain(headers.iter().copied()).collect();
        let answer = self.send("POST", UPLOADS, &all, Vec::new()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").unwrap().to_owned()
    }

    pub(crate) async fn patch(&self, path: &str, offset: u64, body: &[u8]) -> Answer {
        self.patch_with(path, offset, &[], body).await
    }

    pub(crate) async fn patch_with(&self, path: &str, offset: u64, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let offset = offset.to_string();
        let all: Vec<_> = [("upload-offset", offset.as_str()), ("content-type", CHUNK)]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        self.send("PATCH", path, &all, body.to_vec()).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, &[], Vec::new()).await
    }

    /// Begins a PATCH by hand, so that it can stop anywhere.
    pub(crate) async fn begin_patch(&self, path: &str, offset: u64, len: usize) -> SlowPatch {
        let address = self.origin.strip_prefix("http://").unwrap();
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ntus-resumable: 1.0.0\r\n\
             content-type: {CHUNK}\r\nupload-offset: {offset}\r\ncontent-length: {len}\r\n\r\n"
        );
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        SlowPatch { connection }
    }
}

/// A PATCH on a connection of its own.
pub(crate) struct SlowPatch {
    connection: TcpStream,
}

impl SlowPatch {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).await.unwrap();
    }

    /// The status of the answer; what was not sent yet is not missed by a server that has given up.
    pub(crate) async fn status(mut self, rest: &[u8]) -> u16 {
        // The server may have closed the connection already.
        self.connection.write_all(rest).await.ok();
        let mut answer = Vec::new();
        self.connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer}")).parse().unwrap()
    }
}

/// The id at the end of an upload's path.
pub(crate) fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Pairs of `Upload-Metadata`.
pub(crate) fn metadata(pairs: &[(&str, &str)]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let pairs: BTreeMap<_, _> = pairs.iter().copied().collect();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect();
    pairs.join(",")
}
