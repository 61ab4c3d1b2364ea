//! Server-sent events of one video.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use triton_api::{
    VideoId,
    video::{VideoEvent, route},
};
use triton_kit::{ApiError, extract::Path};

use super::videos::find;
use crate::{app::App, catalog::view, store::Changed};

/// The shortest time between two events of one stream.
const PACE: Duration = Duration::from_millis(250);

/// Follow a video: its state, its progress and what it waits for.
///
/// An event `video` comes at once and after every change; an event `deleted` is the last one of a deleted video.
#[utoipa::path(
    get, path = route::EVENTS, tag = "videos", operation_id = "followVideo", params(("id" = VideoId, Path, description = "The video.")),
    responses(
        (status = 200, description = "Events `video` whose data is a VideoEvent, and `deleted`.",
         body = VideoEvent, content_type = "text/event-stream"),
        (status = 404, description = "There is no such video.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn events(
    State(app): State<App>,
    Path(id): Path<VideoId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // Subscribe first: a change between the look and the subscription would be missed.
    let changes = app.store.subscribe();
    find(&app, id).await?;
    let follower = Follower { app, id, changes, begun: false, ended: false };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

struct Follower {
    app: App,
    id: VideoId,
    changes: Receiver<Changed>,
    begun: bool,
    ended: bool,
}

impl Follower {
    /// The next event; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        if self.begun {
            self.changed().await?;
        }
        self.begun = true;
        match self.app.video_with_jobs(self.id).await {
            Ok(Some((video, jobs))) => {
                let waiting_for = view::waiting_for(&video.value, &jobs);
                let event = VideoEvent { video: view::video(&video.value, &jobs), waiting_for };
                Event::default().event("video").json_data(event).ok()
            }
            Ok(None) => {
                self.ended = true;
                Some(Event::default().event("deleted").data("{}"))
            }
            // The client connects again by itself.
            Err(error) => {
                tracing::warn!(%error, "cannot read a video for its events");
                None
            }
        }
    }

    /// Waits for a change of this video or its jobs; `None` when the service stops.
    async fn changed(&mut self) -> Option<()> {
        let own = self.id.to_string();
        loop {
            // Cancel safe: a token and a broadcast receiver.
            let changed = tokio::select! {
                () = self.app.shutdown.cancelled() => return None,
                changed = self.changes.recv() => changed,
            };
            match changed {
                Ok(change) if !change.keys.iter().any(|key| key.as_str().contains(&own)) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return None,
            }
        }
        tokio::time::sleep(PACE).await;
        // What came meanwhile is in the look that follows.
        while self.changes.try_recv().is_ok() {}
        Some(())
    }
}
