//! Many people edit one video at once: nobody overwrites what they have not seen.

use std::sync::Arc;

use tokio::task::JoinSet;
use triton_api::{
    ProblemType, VideoId,
    client::WebClient,
    video::{Video, VideoPatch, Visibility},
};
use triton_testkit::{WebService, media};

/// Editors at once.
const EDITORS: usize = 100;

async fn one_video(web: &WebService) -> Video {
    let dir = tempfile::tempdir().unwrap();
    web.upload(&media::clip(dir.path(), "clip.mp4", 1, "160x90")).await
}

fn marker(editor: usize) -> String {
    format!("[editor {editor:03}]")
}

fn description(text: String) -> VideoPatch {
    VideoPatch { description: Some(text), ..VideoPatch::default() }
}

/// Adds a marker to the description, as often as somebody else is faster; returns the number of refusals.
async fn append(client: &WebClient, id: VideoId, marker: &str) -> usize {
    let mut refusals = 0;
    loop {
        let seen = client.tagged_video(id).await.unwrap();
        let patch = description(format!("{}{marker}", seen.value.description));
        match client.edit(id, &patch, Some(&seen.tag)).await {
            Ok(edited) => {
                assert_ne!(edited.tag, seen.tag);
                return refusals;
            }
            Err(error) => {
                let kind = error.problem_type();
                assert!(matches!(kind, Some(ProblemType::PreconditionFailed | ProblemType::Conflict)), "{error}");
                refusals += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_concurrent_edits_none_is_lost() {
    let web = WebService::start(&[]).await;
    let video = one_video(&web).await;
    let client = Arc::new(web.client());
    let mut editors = JoinSet::new();
    for editor in 0..EDITORS {
        let (client, id) = (Arc::clone(&client), video.id);
        editors.spawn(async move { append(&client, id, &marker(editor)).await });
    }
    let refusals: usize = editors.join_all().await.into_iter().sum();
    let text = client.video(video.id).await.unwrap().description;
    let lost: Vec<String> =
        (0..EDITORS).map(marker).filter(|marker| text.matches(marker.as_str()).count() != 1).collect();
    assert_eq!(lost, Vec::<String>::new(), "of {text}");
    assert!(refusals > 0, "nobody was ever too late: the editors did not meet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_tag_editors_of_different_fields_keep_what_the_other_wrote() {
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let video = one_video(&web).await;
    let client = web.client();
    for round in 0..20 {
        let visibility = if round % 2 == 0 { Visibility::Unlisted } else { Visibility::Public };
        let title = VideoPatch { title: Some(format!("title {round}")), ..VideoPatch::default() };
        let text = VideoPatch { visibility: Some(visibility), ..description(format!("text {round}")) };
        let (one, other) = tokio::join!(client.edit(video.id, &title, None), client.edit(video.id, &text, None));
        one.unwrap();
        other.unwrap();
        let now = client.video(video.id).await.unwrap();
        assert_eq!((now.title, now.description), (format!("title {round}"), format!("text {round}")));
        assert_eq!(now.visibility, visibility);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_a_former_state_is_refused_and_changes_nothing() {
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let video = one_video(&web).await;
    let client = web.client();
    let before = client.tagged_video(video.id).await.unwrap();
    assert_eq!(client.tagged_video(video.id).await.unwrap().tag, before.tag);
    let newer = client.edit(video.id, &description("theirs".to_owned()), Some(&before.tag)).await.unwrap();
    let late = client.edit(video.id, &description("ours".to_owned()), Some(&before.tag)).await.unwrap_err();
    assert_eq!(late.problem_type(), Some(ProblemType::PreconditionFailed));
    assert!(late.to_string().contains("If-Match"), "{late}");
    assert_eq!(client.tagged_video(video.id).await.unwrap(), newer);
    let either = format!("{}, {}", before.tag, newer.tag);
    client.edit(video.id, &description("mine".to_owned()), Some(&either)).await.unwrap();
    client.edit(video.id, &description("anyhow".to_owned()), Some("*")).await.unwrap();

    let url = format!("{}/api/v1/videos/{}", web.origin, video.id);
    let delete = |tag: String| reqwest::Client::new().delete(&url).header("if-match", tag).send();
    assert_eq!(delete(newer.tag).await.unwrap().status(), 412);
    let now = client.tagged_video(video.id).await.unwrap();
    assert_eq!(delete(now.tag).await.unwrap().status(), 204);
}
