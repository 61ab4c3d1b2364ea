//! A file server with byte ranges, which remembers what it was asked for.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::JoinHandle;
use tokio_util::io::ReaderStream;
use web_svc::pipeline::{Break, Source};

pub(crate) struct FileServer {
    address: SocketAddr,
    breaks_at: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Source>>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Files {
    root: PathBuf,
    breaks_at: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Source>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FileServer {
    pub(crate) async fn start(root: impl Into<PathBuf>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let breaks_at = Arc::new(AtomicU64::new(u64::MAX));
        let told = Arc::default();
        let files = Files {
            root: root.into(),
            breaks_at: Arc::clone(&breaks_at),
            told: Arc::clone(&told),
            asked: Arc::clone(&asked),
        };
        let app = Router::new().route("/{*path}", get(serve)).with_state(files);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, breaks_at, told, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn source(&self, path: &str) -> Source {
        Source::new(self.url(path).parse().unwrap()).unwrap()
    }

    /// From now on connections break off before this byte of any file, if there is one.
    pub(crate) fn break_at(&self, byte: Option<u64>) {
        self.breaks_at.store(byte.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A source that breaks when a connection does, as those of the service do; others do not know.
    pub(crate) fn watched_source(&self, path: &str) -> Source {
        let source = self.source(path);
        self.told.lock().unwrap().push(source.clone());
        source
    }

    /// The paths that were asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(files): State<Files>, Path(path): Path<String>, headers: HeaderMap) -> Response<Body> {
    files.asked.lock().unwrap().push(path.clone());
    let Ok(mut file) = tokio::fs::File::open(files.root.join(&path)).await else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    let length = file.metadata().await.unwrap().len();
    let range =
        headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("bytes="));
    let Some((start, end)) = range.and_then(|range| range.split_once('-')) else {
        return respond(StatusCode::OK, length).body(files.body(file, 0..length)).unwrap();
    };
    let start: u64 = start.parse().unwrap();
    let end = end.parse().map_or(length, |end: u64| length.min(end + 1));
    if start >= length {
        return respond(StatusCode::RANGE_NOT_SATISFIABLE, 0)
            .header(header::CONTENT_RANGE, format!("bytes */{length}"))
            .body(Body::empty())
            .unwrap();
    }
    file.seek(std::io::SeekFrom::Start(start)).await.unwrap();
    respond(StatusCode::PARTIAL_CONTENT, end - start)
        .header(header::CONTENT_RANGE, format!("bytes {start}-{}/{length}", end - 1))
        .body(files.body(file, start..end))
        .unwrap()
}

impl Files {
    /// The bytes `range` of a file that is read from its start, or those before the place where all breaks.
    fn body(&self, file: tokio::fs::File, range: Range<u64>) -> Body {
        let breaks_at = self.breaks_at.load(Ordering::Relaxed).clamp(range.start, range.end);
        let told = Arc::clone(&self.told);
        let broken = (breaks_at < range.end).then_some(async move {
            told.lock().unwrap().iter().for_each(|source| source.set_broken(Break::Other));
            Err(io::ErrorKind::ConnectionReset.into())
        });
        let bytes = ReaderStream::new(file.take(breaks_at - range.start));
        Body::from_stream(bytes.chain(stream::iter(broken).then(|broken| broken)))
    }
}

fn respond(status: StatusCode, length: u64) -> axum::http::response::Builder {
    Response::builder().status(status).header(header::ACCEPT_RANGES, "bytes").header(header::CONTENT_LENGTH, length)
}
