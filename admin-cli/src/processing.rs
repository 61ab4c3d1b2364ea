//! Following a video from upload to playback.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use triton_api::{
    client::ClientError,
    video::{Video, VideoEvent, VideoState},
};

use crate::{failure::Failure, measure::percent, patience::Patience, session::Session, table::word};

/// The pause before listening again after the events broke off.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Waits until the video is ready or has failed, and returns it as it is then.
pub(crate) async fn follow(session: &Session, video: Video) -> Result<Video, Failure> {
    let bar = bar();
    let mut patience = Patience::default();
    let mut last = VideoEvent { video, waiting_for: None };
    while !is_settled(&last.video) {
        match listen(session, &mut last, &bar).await {
            Ok(()) => patience.restore(),
            Err(error) => patience.spend(error)?,
        }
        if !is_settled(&last.video) {
            tokio::time::sleep(LISTEN_AGAIN_AFTER).await;
        }
    }
    bar.finish_and_clear();
    Ok(last.video)
}

/// Listens until the video is settled or the events end.
async fn listen(session: &Session, last: &mut VideoEvent, bar: &ProgressBar) -> Result<(), ClientError> {
    let mut events = session.client.events(last.video.id).await?;
    // Asked after listening has begun, so that nothing falls between.
    last.video = session.client.video(last.video.id).await?;
    if is_settled(&last.video) {
        return Ok(());
    }
    while let Some(event) = events.next().await? {
        show(bar, &event);
        *last = event;
        if is_settled(&last.video) {
            break;
        }
    }
    Ok(())
}

fn is_settled(video: &Video) -> bool {
    matches!(video.state, VideoState::Ready | VideoState::Failed)
}

/// Draws to standard error, and only if that is a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1000);
    let style = ProgressStyle::with_template("{spinner} [{bar:24}] {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
}

fn show(bar: &ProgressBar, event: &VideoEvent) {
    let permille = f64::from(event.video.progress.clamp(0.0, 1.0)) * 1000.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
    bar.set_position(permille as u64);
    bar.set_message(line(event));
}

fn line(event: &VideoEvent) -> String {
    let mut parts = vec![format!("{} {}", word(&event.video.state), percent(event.video.progress))];
    parts.extend(event.video.playable.then(|| "plays already".to_owned()));
    parts.extend(event.waiting_for.as_deref().map(|what| format!("waits for {what}")));
    parts.join(", ")
}
