//! People edit one video through several web services at once: nobody overwrites what they have not seen.

use tokio::task::JoinSet;
use triton_api::{
    ProblemType, VideoId,
    client::WebClient,
    video::{VideoPatch, Visibility},
};
use triton_testkit::eventually;

use crate::{SETTLE_DEADLINE, installation::Installation};

/// Editors at once.
const EDITORS: usize = 100;

fn marker(editor: usize) -> String {
    format!("[editor {editor:03}]")
}

/// Adds a marker to the description, as often as somebody else is faster; returns how often it was refused for a stale tag.
async fn append(client: WebClient, id: VideoId, marker: String) -> usize {
    let mut refusals = 0;
    loop {
        let seen = client.tagged_video(id).await.unwrap();
        let text = format!("{}{marker}", seen.value.description);
        let patch = VideoPatch { description: Some(text), ..VideoPatch::default() };
        match client.edit(id, &patch, Some(&seen.tag)).await {
            Ok(_) => return refusals,
            Err(error) if error.problem_type() == Some(ProblemType::PreconditionFailed) => refusals += 1,
            Err(error) => assert_eq!(error.problem_type(), Some(ProblemType::Conflict), "{error}"),
        }
    }
}

/// Waits until both web services show the same, tag included.
async fn agree(installation: &Installation, id: VideoId) {
    let (one, other) = (installation.webs[0].client(), installation.webs[1].client());
    eventually(SETTLE_DEADLINE, || async {
        one.tagged_video(id).await.unwrap() == other.tagged_video(id).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_concurrent_edits_over_two_web_services_none_is_lost() {
    let installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let id = installation.webs[0].upload(&installation.clip(1)).await.id;
    installation.shows(1, id).await;
    let mut editors = JoinSet::new();
    for editor in 0..EDITORS {
        let client = installation.webs[editor % 2].client();
        editors.spawn(async move { (editor % 2, append(client, id, marker(editor)).await) });
    }
    let mut refusals = [0; 2];
    for (web, refused) in editors.join_all().await {
        refusals[web] += refused;
    }
    assert!(refusals.iter().all(|refusals| *refusals > 0), "the editors did not meet: {refusals:?}");
    agree(&installation, id).await;
    let text = installation.webs[1].client().video(id).await.unwrap().description;
    let lost: Vec<_> = (0..EDITORS).map(marker).filter(|marker| text.matches(marker.as_str()).count() != 1).collect();
    assert_eq!(lost, Vec::<String>::new(), "of {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_tag_editors_of_different_fields_at_different_web_services_keep_what_the_other_wrote() {
    let installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let id = installation.webs[0].upload(&installation.clip(1)).await.id;
    installation.shows(1, id).await;
    let (one, other) = (installation.webs[0].client(), installation.webs[1].client());
    for round in 0..20 {
        let visibility = if round % 2 == 0 { Visibility::Unlisted } else { Visibility::Public };
        let title = VideoPatch { title: Some(format!("title {round}")), ..VideoPatch::default() };
        let description = Some(format!("text {round}"));
        let text = VideoPatch { visibility: Some(visibility), description, ..VideoPatch::default() };
        let (titled, described) = tokio::join!(one.edit(id, &title, None), other.edit(id, &text, None));
        // Whoever came second saw both.
        let (titled, described) = (titled.unwrap().value, described.unwrap().value);
        assert_eq!(titled.title, format!("title {round}"));
        assert_eq!(described.description, format!("text {round}"));
        agree(&installation, id).await;
        let now = one.video(id).await.unwrap();
        assert_eq!((now.title, now.description), (format!("title {round}"), format!("text {round}")));
        assert_eq!(now.visibility, visibility);
    }
}
