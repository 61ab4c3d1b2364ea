//! Queries over the catalog of videos.

use sqlx::{QueryBuilder, Row, Sqlite};
use triton_api::{
    VideoId,
    video::{VideoSort, VideoState},
};

use super::{During, Store, StoreError, Stored, projection::word, understood};
use crate::{catalog::VideoRecord, journal::RecordKey};

/// A place in a listing: the last entry of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPosition {
    /// The sort key: creation in milliseconds, or the lower-case title.
    pub key: String,
    /// The video, which breaks ties.
    pub id: String,
}

/// Which videos, in which order.
#[derive(Debug, Clone, Default)]
pub struct VideoListing {
    /// Words to find; nothing for all.
    pub search: Option<String>,
    /// The order.
    pub sort: VideoSort,
    /// Entries after this place.
    pub after: Option<VideoPosition>,
    /// The most entries.
    pub limit: u32,
    /// Unlisted and private videos as well.
    pub all: bool,
}

impl Store {
    /// The videos of a listing, each with its place.
    pub async fn videos(&self, listing: &VideoListing) -> Result<Vec<(VideoRecord, VideoPosition)>, StoreError> {
        let (column, direction, comparison) = match listing.sort {
            VideoSort::Newest => ("created_ms", "DESC", "<"),
            VideoSort::Oldest => ("created_ms", "ASC", ">"),
            VideoSort::Title => ("title_key", "ASC", ">"),
        };
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT r.key, r.revision, r.value, v.");
        query.push(column).push(", v.id FROM videos v JOIN records r ON r.key = v.record_key WHERE TRUE");
        if !listing.all {
            query.push(" AND v.visibility = 'public'");
        }
        if let Some(text) = listing.search.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            // What has no word in it is in no title.
            let Some(words) = match_expression(text) else { return Ok(Vec::new()) };
            query.push(" AND v.row_id IN (SELECT rowid FROM video_search WHERE video_search MATCH ").push_bind(words);
            query.push(")");
        }
        if let Some(after) = &listing.after {
            query.push(format_args!(" AND (v.{column}, v.id) {comparison} ("));
            match listing.sort {
                VideoSort::Title => query.push_bind(after.key.clone()),
                VideoSort::Newest | VideoSort::Oldest => query.push_bind(after.key.parse::<i64>().unwrap_or_default()),
            };
            query.push(", ").push_bind(after.id.clone()).push(")");
        }
        query.push(format_args!(" ORDER BY v.{column} {direction}, v.id {direction} LIMIT ")).push_bind(listing.limit);
        let rows = query.build().fetch_all(&self.readers).await.during("listing videos")?;
        let mut videos = Vec::with_capacity(rows.len());
        for row in rows {
            let Some((_, video)) = understood::<VideoRecord>(&row) else { continue };
            let sort_key = match listing.sort {
                VideoSort::Title => row.get::<String, _>(3),
                VideoSort::Newest | VideoSort::Oldest => row.get::<i64, _>(3).to_string(),
            };
            videos.push((video.value, VideoPosition { key: sort_key, id: row.get(4) }));
        }
        Ok(videos)
    }

    /// One video.
    pub async fn video(&self, id: VideoId) -> Result<Option<Stored<VideoRecord>>, StoreError> {
        self.get(&RecordKey::video(id)).await
    }

    /// The videos in one state, oldest first; at most `limit`.
    pub async fn videos_in_state(&self, state: VideoState, limit: u32) -> Result<Vec<Stored<VideoRecord>>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.key, r.revision, r.value FROM videos v JOIN records r ON r.key = v.record_key
             WHERE v.state = ? ORDER BY v.created_ms LIMIT ?",
        )
        .bind(word(&state))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .during("listing videos by state")?;
        Ok(rows.iter().filter_map(understood).map(|(_, video)| video).collect())
    }
}

/// An FTS5 expression that finds all words of `text`, the last of which may be a beginning; `None` without any word.
///
/// Every word is quoted, so that no character of the user's has a meaning to FTS5.
fn match_expression(text: &str) -> Option<String> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(16).collect();
    if words.is_empty() {
        return None;
    }
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    Some(format!("{}*", quoted.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_text_has_no_syntax() {
        assert_eq!(match_expression("cat\" OR *"), Some("\"cat\" \"OR\"*".to_owned()));
        assert_eq!(match_expression(" \"'-* "), None);
    }
}
