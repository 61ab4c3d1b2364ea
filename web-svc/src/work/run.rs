//! One job from lease to commit.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{
    WorkError, chunk,
    fail::failed,
    lease::Leased,
    publish::{self, publish, publish_extra},
    stills,
};
use crate::{
    app::App,
    catalog::{JobKind, JobRecord},
    journal::{Change, RecordKey},
    pipeline::Plan,
};

/// Does a leased job and commits how it ended.
pub(super) async fn run(app: App, leased: Arc<Leased>) {
    let span = tracing::info_span!("job", job.id = %leased.job.id(), video.id = %leased.job.video_id);
    async {
        let started = std::time::Instant::now();
        let outcome = {
            // Cancel safe: where a renewal is cut in the middle of its commit, the next write of the lease catches up.
            tokio::select! {
                outcome = work(&app, &leased) => outcome,
                () = leased.keep(&app) => Err(WorkError::Gone),
            }
        };
        let (kind, seconds) = (leased.job.kind.label(), started.elapsed().as_secs_f64());
        let word = match &outcome {
            Ok(()) => "done",
            Err(error) if error.is_cancelled() => "cancelled",
            Err(_) => "failed",
        };
        metrics::counter!("triton_jobs_total", "kind" => kind, "outcome" => word).increment(1);
        metrics::histogram!("triton_job_duration_seconds", "kind" => kind).record(seconds);
        tracing::info!(kind, seconds, outcome = word, "job ended");
        match outcome {
            Ok(()) => publish::let_viewers_begin(&app, &leased).await,
            Err(error) => end_badly(&app, &leased, &error).await,
        }
    }
    .instrument(span)
    .await;
}

async fn end_badly(app: &App, leased: &Leased, error: &WorkError) {
    let ended = if app.shutdown.is_cancelled() {
        leased.give_back(app).await
    } else if error.is_cancelled() {
        return;
    } else {
        failed(app, leased, error).await
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "cannot record how a job ended; its lease runs out and it is tried again");
    }
}

async fn work(app: &App, leased: &Leased) -> Result<(), WorkError> {
    let job = &leased.job;
    if job.lost_leases > JobRecord::LOST_LEASES_MAX {
        return Err(WorkError::Deadly);
    }
    match job.kind {
        JobKind::Finalize => return publish(app, leased).await,
        JobKind::FinalizeExtra => return publish_extra(app, leased).await,
        _ => {}
    }
    let video = app.store.video(job.video_id).await?.ok_or(WorkError::Gone)?;
    let plan: Plan = app.store.get(&RecordKey::plan(job.video_id, job.generation)).await?.ok_or(WorkError::Gone)?.value;
    let source = app.sources.open(job.video_id, video.value.original.len_bytes);
    let made = match job.kind {
        JobKind::Chunk { index } => chunk::pictures(app, leased, &plan, source.source(), index).await,
        JobKind::Extra { index } => chunk::extra(app, leased, &plan, source.source(), index).await,
        JobKind::Audio { index } => chunk::sound(app, leased, &plan, source.source(), index).await,
        // The publications ended above.
        JobKind::Poster | JobKind::Finalize | JobKind::FinalizeExtra => {
            stills::make(app, leased, &plan, source.source()).await
        }
    };
    let result = made.map_err(|error| match error {
        WorkError::Pipeline(_) if source.source().is_away() && !error.is_cancelled() => WorkError::SourceAway,
        other => other,
    })?;
    leased.finish(app, Change::new(), Some(result)).await
}
