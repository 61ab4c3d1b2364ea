use triton_api::{
    Page, VideoId,
    job::{Job, JobState},
    video::{Rendition, Video, VideoState, Visibility},
};

use crate::{run, server::Server};

const VIDEOS: &str = "GET /api/v1/videos";

pub(crate) fn video(title: &str, state: VideoState) -> Video {
    Video {
        id: "AZqxJ2QkcYuS5T3mVb0aXw".parse().unwrap(),
        title: title.to_owned(),
        description: String::new(),
        state,
        playable: state == VideoState::Ready,
        progress: if state == VideoState::Ready { 1.0 } else { 0.25 },
        reason: None,
        duration_ms: Some(125_000),
        width: Some(1280),
        height: Some(720),
        renditions: vec![Rendition {
            name: "720p".to_owned(),
            width: 1280,
            height: 720,
            bitrate_bps: 2_500_000,
            codecs: "avc1.64001f".to_owned(),
        }],
        playback: None,
        visibility: Visibility::Public,
        created_at: "2026-11-23T02:30:00Z".parse().unwrap(),
        captions: Vec::new(),
        original_bytes: 5 << 20,
    }
}

fn page<T>(items: Vec<T>, next: Option<&str>) -> Page<T> {
    Page { items, next_cursor: next.map(str::to_owned) }
}

#[tokio::test]
async fn list_is_a_table_for_people() {
    let server = Server::start().await;
    server.on(VIDEOS, 200, &page(vec![video("Cats", VideoState::Ready), video("Dogs", VideoState::Processing)], None));
    let listed = run(&server.url, &["video", "list", "-q", "a b&c", "--sort", "title", "--limit", "7"]).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let expected = "\
ID                      TITLE  STATE           LENGTH     SIZE  QUALITY  CREATED
AZqxJ2QkcYuS5T3mVb0aXw  Cats   ready             2:05  5.0 MiB  720p     2026-11-23 02:30
AZqxJ2QkcYuS5T3mVb0aXw  Dogs   processing 25%    2:05  5.0 MiB  720p     2026-11-23 02:30
";
    assert_eq!(listed.stdout, expected);
    let asked = server.seen()[0].line.clone();
    for part in ["q=a+b%26c", "sort=title", "limit=7"] {
        assert!(asked.contains(part), "{asked}");
    }
}

#[tokio::test]
async fn json_is_the_page_as_the_api_gives_it() {
    let server = Server::start().await;
    let first = page(vec![video("a", VideoState::Ready)], Some("next"));
    server.on(VIDEOS, 200, &first).on(VIDEOS, 200, &first).on(
        VIDEOS,
        200,
        &page(vec![video("b", VideoState::Ready)], None),
    );
    let listed = run(&server.url, &["--json", "video", "list"]).await;
    assert_eq!(listed.json(), serde_json::to_value(&first).unwrap());
    assert_eq!(listed.stderr, "");

    let all = run(&server.url, &["video", "list", "--all", "--json"]).await.json();
    assert_eq!(all["next_cursor"], serde_json::Value::Null);
    let titles: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| item["title"].clone()).collect();
    assert_eq!(titles, ["a", "b"]);
    assert!(server.seen()[2].line.contains("cursor=next"));
}

#[tokio::test]
async fn job_says_what_it_waits_for() {
    let server = Server::start().await;
    let job = Job {
        id: "1".to_owned(),
        video_id: VideoId::generate(),
        kind: "chunk".to_owned(),
        subject: "chunk 3 of 12".to_owned(),
        state: JobState::Waiting,
        attempt: 1,
        attempts_max: 3,
        progress: 0.0,
        worker: None,
        waits_for: Some("a free worker".to_owned()),
        last_error: None,
        created_at: "2026-11-23T02:30:00Z".parse().unwrap(),
    };
    server.on("GET /api/v1/admin/jobs", 200, &page(vec![job], None));
    let listed = run(&server.url, &["job", "list"]).await;
    assert!(listed.stdout.contains("chunk 3 of 12  waiting"), "{}", listed.stdout);
    assert!(listed.stdout.contains("1/3") && listed.stdout.contains("a free worker"), "{}", listed.stdout);
}
