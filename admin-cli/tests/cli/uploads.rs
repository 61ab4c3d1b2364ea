use std::{fs, path::PathBuf};

use triton_api::{
    ProblemType,
    video::{Video, VideoEvent, VideoState},
};

use crate::{lists::video, run, server::Server};

const UPLOAD: &str = "POST /api/v1/videos";
const VIDEO: &str = "GET /api/v1/videos/AZqxJ2QkcYuS5T3mVb0aXw";
const EVENTS: &str = "GET /api/v1/videos/AZqxJ2QkcYuS5T3mVb0aXw/events";

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path: PathBuf = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn event(video: Video) -> VideoEvent {
    VideoEvent { video, waiting_for: None }
}

#[tokio::test]
async fn upload_sends_the_file_and_waits_until_it_plays() {
    let (server, files) = (Server::start().await, Files::new());
    let processing = video("x", VideoState::Processing);
    server.on(UPLOAD, 202, &video("x", VideoState::Queued)).on(VIDEO, 200, &processing);
    server.on_events(EVENTS, &[event(processing), event(video("x", VideoState::Ready))]);
    let content: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    let uploaded = run(&server.url, &["--json", "video", "upload", &files.file("a \"b\".mp4", &content)]).await;
    assert_eq!(uploaded.code, 0, "{}", uploaded.stderr);
    assert_eq!(uploaded.json()["state"], "ready");
    assert_eq!(uploaded.stderr, "", "no progress bar without a terminal");
    let sent = server.seen().remove(0);
    assert!(sent.headers.contains_key("content-length"), "the server can refuse what is too large at once");
    assert!(sent.body.windows(content.len()).any(|window| window == content), "the whole file");
    let head = String::from_utf8_lossy(&sent.body[..300]).into_owned();
    assert!(head.contains("filename=\"a %22b%22.mp4\"") || head.contains("filename=\"a \\\"b\\\".mp4\""), "{head}");
}

#[tokio::test]
async fn video_that_cannot_be_processed_fails_the_command_with_its_reason() {
    let (server, files) = (Server::start().await, Files::new());
    let failed = Video { reason: Some("It has no picture.".to_owned()), ..video("x", VideoState::Failed) };
    server.on(UPLOAD, 202, &video("x", VideoState::Queued)).on(UPLOAD, 202, &video("y", VideoState::Ready));
    // The events break off once: the command asks again.
    server.on_events(EVENTS, &[event(video("x", VideoState::Queued))]).on_events(EVENTS, &[event(failed.clone())]);
    server.on(VIDEO, 200, &video("x", VideoState::Queued));
    let (first, second) = (files.file("a.mp4", b"a"), files.file("b.mp4", b"b"));
    let uploaded = run(&server.url, &["--json", "video", "upload", &first, &second]).await;
    assert_eq!(uploaded.code, 1);
    assert!(uploaded.stderr.ends_with("a.mp4: It has no picture.\n"), "{}", uploaded.stderr);
    let states: Vec<String> = uploaded
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["failed", "ready"], "the second file is sent all the same");
}

#[tokio::test]
async fn upload_without_waiting_returns_what_the_server_answered() {
    let (server, files) = (Server::start().await, Files::new());
    server.on(UPLOAD, 202, &video("My title", VideoState::Queued));
    let file = files.file("a.mp4", b"a");
    let uploaded = run(&server.url, &["video", "upload", &file, "--title", "My title", "--no-wait"]).await;
    assert_eq!(uploaded.code, 0, "{}", uploaded.stderr);
    assert!(uploaded.stdout.contains("AZqxJ2QkcYuS5T3mVb0aXw") && uploaded.stdout.contains("queued"));
    assert_eq!(server.seen().len(), 1);
    assert!(String::from_utf8_lossy(&server.seen()[0].body).contains("My title"));
}

#[tokio::test]
async fn refused_or_unreadable_file_is_a_failure() {
    let (server, files) = (Server::start().await, Files::new());
    server.on_problem(UPLOAD, ProblemType::NotAVideo, "This is text, not a video.");
    let file = files.file("a.mp4", b"text");
    let refused = run(&server.url, &["video", "upload", &file]).await;
    assert_eq!((refused.code, refused.stderr.as_str()), (1, "error: This is text, not a video.\n"));
    let absent = run(&server.url, &["video", "upload", "/nowhere/x.mp4"]).await;
    assert!(absent.code == 1 && absent.stderr.contains("/nowhere/x.mp4"), "{}", absent.stderr);
    let directory = run(&server.url, &["video", "upload", "/tmp"]).await;
    assert!(directory.code == 1 && directory.stderr.contains("not a file"), "{}", directory.stderr);
    assert_eq!(run(&server.url, &["video", "upload", &file, &file, "--title", "x"]).await.code, 2);
}
