//! Queries over jobs.

use jiff::Timestamp;
use sqlx::Row;
use triton_api::{Generation, VideoId};

use super::{During, Store, StoreError, Stored, projection::NOT_UNDERSTOOD, understood};
use crate::{catalog::JobRecord, journal::RecordKey};

/// A job with its record's key and revision.
pub type JobRow = (RecordKey, Stored<JobRecord>);

/// What a worker can do that others may not be able to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Whether its ffmpeg encodes AV1.
    pub av1: bool,
}

/// What a worker may lease now: of the present generation of a video that is being made, waiting and due; `finalize` only
/// after all others. The extra set goes on when the video is ready; its publication comes after that of the ladder.
const RUNNABLE: &str = "
    SELECT r.key, r.revision, r.value FROM jobs j JOIN records r ON r.key = j.record_key
    JOIN videos v ON v.id = j.video_id AND v.generation = j.generation
      AND (v.state IN ('queued', 'processing') OR (v.state = 'ready' AND j.kind IN ('extra', 'finalize-extra')))
    WHERE j.state = 'waiting' AND j.priority < ?2 AND j.not_before_ms <= ?1
      AND (j.kind <> 'finalize' OR NOT EXISTS (
          SELECT 1 FROM jobs other
          WHERE other.video_id = j.video_id AND other.generation = j.generation
            AND other.kind NOT IN ('finalize', 'extra', 'finalize-extra') AND other.state <> 'done'))
      AND (j.kind <> 'finalize-extra' OR (v.state = 'ready' AND NOT EXISTS (
          SELECT 1 FROM jobs other
          WHERE other.video_id = j.video_id AND other.generation = j.generation
            AND other.kind = 'extra' AND other.state <> 'done')))
    ORDER BY j.priority, j.created_ms, j.id LIMIT ?3";

impl Store {
    /// The jobs that a worker may lease at `now`, first things first.
    pub async fn runnable_jobs(
        &self,
        now: Timestamp,
        abilities: Abilities,
        limit: u32,
    ) -> Result<Vec<JobRow>, StoreError> {
        let priority_end = if abilities.av1 { i64::MAX } else { JobRecord::EXTRA_PRIORITY };
        let query = sqlx::query(RUNNABLE).bind(now.as_millisecond()).bind(priority_end).bind(limit);
        Ok(rows(&query.fetch_all(&self.readers).await.during("looking for work")?))
    }

    /// All jobs of one generation of a video.
    pub async fn jobs_of(&self, video: VideoId, generation: Generation) -> Result<Vec<JobRow>, StoreError> {
        let query = sqlx::query(
            "SELECT r.key, r.revision, r.value FROM jobs j JOIN records r ON r.key = j.record_key
             WHERE j.video_id = ? AND j.generation = ? ORDER BY j.id",
        );
        let query = query.bind(video.to_string()).bind(i64::from(generation.get()));
        Ok(rows(&query.fetch_all(&self.readers).await.during("listing a video's jobs")?))
    }

    /// A page of all jobs in the order of their ids, beginning after `after`.
    pub async fn jobs(&self, after: Option<&str>, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let query = sqlx::query(
            "SELECT r.key, r.revision, r.value FROM jobs j JOIN records r ON r.key = j.record_key
             WHERE j.id > ? AND j.state <> ? ORDER BY j.id LIMIT ?",
        );
        let query = query.bind(after.unwrap_or_default().to_owned()).bind(NOT_UNDERSTOOD).bind(limit);
        Ok(rows(&query.fetch_all(&self.readers).await.during("listing jobs")?))
    }

    /// Jobs with a lease, at most `limit`.
    pub async fn leased_jobs(&self, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let query = sqlx::query(
            "SELECT r.key, r.revision, r.value FROM jobs j JOIN records r ON r.key = j.record_key
             WHERE j.state = 'running' ORDER BY j.id LIMIT ?",
        );
        Ok(rows(&query.bind(limit).fetch_all(&self.readers).await.during("listing leases")?))
    }

    /// Jobs that nobody needs: finished ones of ready videos that were created before a time, where no other is still to be
    /// done, and those of videos that are gone; at most `limit`.
    pub async fn idle_jobs(&self, before: Timestamp, limit: u32) -> Result<Vec<RecordKey>, StoreError> {
        let query = sqlx::query(
            "SELECT j.record_key FROM jobs j LEFT JOIN videos v ON v.id = j.video_id
             WHERE (v.id IS NULL AND NOT EXISTS (SELECT 1 FROM records r WHERE r.key = 'video/' || j.video_id))
                OR (v.state = 'ready' AND j.state = 'done' AND j.created_ms < ? AND (j.video_id, j.generation) NOT IN (
                    SELECT video_id, generation FROM jobs WHERE state IN ('waiting', 'running', ?))) LIMIT ?",
        );
        let query = query.bind(before.as_millisecond()).bind(NOT_UNDERSTOOD).bind(limit);
        let rows = query.fetch_all(&self.readers).await.during("looking for idle jobs")?;
        Ok(rows.into_iter().map(|row| RecordKey::from_stored(row.get(0))).collect())
    }

    /// The number of jobs in each state, zeros included.
    pub async fn job_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.column1, (SELECT COUNT(*) FROM jobs WHERE state = s.column1)
             FROM (VALUES ('waiting'), ('running'), ('done'), ('failed')) s",
        )
        .fetch_all(&self.readers)
        .await
        .during("counting jobs")?;
        Ok(rows.into_iter().map(|row| (row.get(0), row.get::<i64, _>(1).unsigned_abs())).collect())
    }
}

fn rows(rows: &[sqlx::sqlite::SqliteRow]) -> Vec<JobRow> {
    rows.iter().filter_map(understood).collect()
}
