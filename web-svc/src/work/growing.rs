//! What grows, as viewers see it: put together at most once a second for each video, however many of them ask. Of a long film that
//! takes milliseconds, and every player asks every few seconds.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use moka::future::Cache;
use triton_api::{Generation, VideoId};

use super::Made;
use crate::{app::App, pipeline::Presentation, store::StoreError};

/// How old a description may be: players look again after twice that.
const AGE_MAX: Duration = Duration::from_secs(1);
/// Videos that are watched while they are made, at most: of more, those that were asked for longest ago are put together anew.
const VIDEOS_MAX: u64 = 64;

/// The descriptions of this second. Cloning is cheap.
#[derive(Clone)]
pub struct Growing {
    seen: Cache<(VideoId, Generation), Option<Arc<Presentation>>>,
}

impl Default for Growing {
    fn default() -> Self {
        Self { seen: Cache::builder().max_capacity(VIDEOS_MAX).time_to_live(AGE_MAX).build() }
    }
}

impl Growing {
    /// What can be played of a generation that plays since then; `None` where it is gone.
    pub(crate) async fn presentation(
        &self,
        app: &App,
        id: VideoId,
        generation: Generation,
        since: Timestamp,
    ) -> Result<Option<Arc<Presentation>>, Arc<StoreError>> {
        let put_together = async {
            let made = Made::of(app, id, generation).await?;
            Ok(made.map(|made| Arc::new(made.presentation(made.growth(since, Timestamp::now())))))
        };
        self.seen.try_get_with((id, generation), put_together).await
    }
}
