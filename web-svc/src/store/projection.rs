//! What the local database derives from each record for listing and searching.

use serde::de::DeserializeOwned;
use sqlx::{Row, Sqlite, Transaction};
use triton_api::job::JobState;

use super::{During, StoreError};
use crate::{
    catalog::{JobRecord, VideoRecord},
    journal::RecordKey,
};

type Open = Transaction<'static, Sqlite>;

/// Brings the derived rows in line with a record's new value.
pub(super) async fn put(transaction: &mut Open, key: &RecordKey, json: &str) -> Result<(), StoreError> {
    match key.kind() {
        "video" => put_video(transaction, key, &decode(key, json)?).await,
        "job" => put_job(transaction, key, &decode(key, json)?).await,
        _ => Ok(()),
    }
}

/// Whether [`put`] will understand a record that comes from elsewhere.
pub(crate) fn check(key: &RecordKey, json: &str) -> Result<(), StoreError> {
    match key.kind() {
        "video" => decode::<VideoRecord>(key, json).map(drop),
        "job" => decode::<JobRecord>(key, json).map(drop),
        _ => Ok(()),
    }
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

fn decode<T: DeserializeOwned>(key: &RecordKey, json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|source| StoreError::Decode { key: key.clone(), source })
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
         ON CONFLICT (id) DO UPDATE SET state = ?6, priority = ?7, not_before_ms = ?8, lease_expires_ms = ?9",
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

/// The wire's word for a value of an enum without fields.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
