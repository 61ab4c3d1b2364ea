//! What the local database derives from each record for listing and searching.

use sqlx::{Row, Sqlite, Transaction};
use triton_api::job::JobState;

use super::{During, StoreError};
use crate::{
    catalog::{JobRecord, VideoRecord},
    journal::RecordKey,
};

type Open = Transaction<'static, Sqlite>;

/// The state, in the local database only, of a job whose record this version does not understand: nobody leases it here,
/// and what has to wait for it goes on waiting.
pub(super) const NOT_UNDERSTOOD: &str = "not-understood";

/// Brings the derived rows in line with a record's new value.
///
/// A record that a newer version wrote in a shape that this one does not know is kept as it is, and left out of listings:
/// a single record must not stop all that come after it.
pub(super) async fn put(transaction: &mut Open, key: &RecordKey, json: &str) -> Result<(), StoreError> {
    match key.kind() {
        "video" => match serde_json::from_str(json) {
            Ok(video) => put_video(transaction, key, &video).await,
            Err(error) => {
                tracing::warn!(%key, %error, "a video's record is not understood: it is not listed here");
                delete_video(transaction, key).await
            }
        },
        "job" => match serde_json::from_str(json) {
            Ok(job) => put_job(transaction, key, &job).await,
            Err(error) => {
                tracing::warn!(%key, %error, "a job's record is not understood: it is left to others");
                put_unknown_job(transaction, key).await
            }
        },
        _ => Ok(()),
    }
}

/// Looks again at the records that the version before this one may not have understood.
pub(super) async fn catch_up(transaction: &mut Open) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT key, value FROM records r WHERE key >= 'video/' AND key < 'video0'
           AND NOT EXISTS (SELECT 1 FROM videos v WHERE v.record_key = r.key)
         UNION ALL
         SELECT r.key, r.value FROM jobs j JOIN records r ON r.key = j.record_key WHERE j.state = ?",
    )
    .bind(NOT_UNDERSTOOD)
    .fetch_all(&mut **transaction)
    .await
    .during("looking for records that were not understood")?;
    for row in rows {
        put(transaction, &RecordKey::from_stored(row.get(0)), row.get(1)).await?;
    }
    Ok(())
}

/// Whether [`put`] will understand a record that comes from elsewhere.
pub(crate) fn check(key: &RecordKey, json: &str) -> Result<(), StoreError> {
    let understood = match key.kind() {
        "video" => serde_json::from_str::<VideoRecord>(json).map(drop),
        "job" => serde_json::from_str::<JobRecord>(json).map(drop),
        _ => Ok(()),
    };
    understood.map_err(|source| StoreError::Decode { key: key.clone(), source })
}

/// Removes the derived rows of a deleted record.
pub(super) async fn delete(transaction: &mut Open, key: &RecordKey) -> Result<(), StoreError> {
    match key.kind() {
        "video" => delete_video(transaction, key).await,
        "job" => {
            let query = sqlx::query("DELETE FROM jobs WHERE record_key = ?").bind(key.as_str());
            query.execute(&mut **transaction).await.during("unlisting a job").map(drop)
        }
        _ => Ok(()),
    }
}

async fn put_video(transaction: &mut Open, key: &RecordKey, video: &VideoRecord) -> Result<(), StoreError> {
    let row = sqlx::query(
        "INSERT INTO videos (id, record_key, state, visibility, title_key, created_ms, generation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET state = ?3, visibility = ?4, title_key = ?5, generation = ?7
         RETURNING row_id",
    )
    .bind(video.id.to_string())
    .bind(key.as_str())
    .bind(word(&video.state))
    .bind(word(&video.visibility))
    .bind(video.title.to_lowercase())
    .bind(video.created_at.as_millisecond())
    .bind(i64::from(video.generation.get()))
    .fetch_one(&mut **transaction)
    .await
    .during("listing a video")?;
    let row_id: i64 = row.get(0);
    unlist_text(transaction, row_id).await?;
    sqlx::query("INSERT INTO video_search (rowid, title, description) VALUES (?, ?, ?)")
        .bind(row_id)
        .bind(&video.title)
        .bind(&video.description)
        .execute(&mut **transaction)
        .await
        .during("indexing a video's text")?;
    Ok(())
}

async fn delete_video(transaction: &mut Open, key: &RecordKey) -> Result<(), StoreError> {
    let row = sqlx::query("DELETE FROM videos WHERE record_key = ? RETURNING row_id")
        .bind(key.as_str())
        .fetch_optional(&mut **transaction)
        .await
        .during("unlisting a video")?;
    match row {
        Some(row) => unlist_text(transaction, row.get(0)).await,
        None => Ok(()),
    }
}

async fn unlist_text(transaction: &mut Open, row_id: i64) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM video_search WHERE rowid = ?").bind(row_id);
    query.execute(&mut **transaction).await.during("unindexing a video's text").map(drop)
}

async fn put_job(transaction: &mut Open, key: &RecordKey, job: &JobRecord) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (id, record_key, video_id, generation, kind, state, priority, not_before_ms,
                           lease_expires_ms, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET kind = ?5, state = ?6, priority = ?7, not_before_ms = ?8, lease_expires_ms = ?9,
             created_ms = ?10",
    )
    .bind(job.id())
    .bind(key.as_str())
    .bind(job.video_id.to_string())
    .bind(i64::from(job.generation.get()))
    .bind(job.kind.label())
    .bind(word(&job.state))
    .bind(job.priority)
    .bind(job.not_before.as_millisecond())
    .bind(job.lease.as_ref().filter(|_| job.state == JobState::Running).map(|lease| lease.expires_at.as_millisecond()))
    .bind(job.created_at.as_millisecond())
    .execute(&mut **transaction)
    .await
    .during("listing a job")?;
    Ok(())
}

/// What the key alone says of a job: enough to be counted among those of its generation.
async fn put_unknown_job(transaction: &mut Open, key: &RecordKey) -> Result<(), StoreError> {
    let mut parts = key.as_str().splitn(4, '/').skip(1);
    let (Some(video), Some(generation), Some(name)) = (parts.next(), parts.next(), parts.next()) else { return Ok(()) };
    sqlx::query(
        "INSERT INTO jobs (id, record_key, video_id, generation, kind, state, priority, not_before_ms, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0)
         ON CONFLICT (id) DO UPDATE SET state = ?6, lease_expires_ms = NULL",
    )
    .bind(format!("{video}/{generation}/{name}"))
    .bind(key.as_str())
    .bind(video)
    .bind(generation.parse::<i64>().unwrap_or_default())
    .bind(
        name.rsplit_once('-')
            .filter(|(_, index)| index.bytes().all(|b| b.is_ascii_digit()))
            .map_or(name, |(kind, _)| kind),
    )
    .bind(NOT_UNDERSTOOD)
    .execute(&mut **transaction)
    .await
    .during("noting a job that is not understood")?;
    Ok(())
}

/// The wire's word for a value of an enum without fields.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
