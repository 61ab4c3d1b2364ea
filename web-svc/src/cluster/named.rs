//! Which blobs metadata refers to. In doubt, all of them.

use std::collections::{BTreeSet, HashMap};

use futures_util::TryStreamExt;
use serde::Deserialize;
use triton_api::{BlobKey, Generation, VideoId};

use crate::{
    catalog::CaptionRecord,
    store::{Snapshot, StoreError},
};

/// What is referred to of one video.
#[derive(Debug, Default, PartialEq, Eq)]
struct Generations {
    /// A record of it is not understood: everything may be referred to.
    all: bool,
    some: BTreeSet<u32>,
    /// The files of uploaded captions, which are replaced while their video stays.
    captions: BTreeSet<String>,
}

/// What all records together refer to.
#[derive(Debug, Default)]
pub(super) struct Named(HashMap<VideoId, Generations>);

/// What matters of a video's record, whatever else a newer version has made of it.
#[derive(Deserialize)]
struct Referring {
    generation: Generation,
    #[serde(default)]
    published: Option<Publication>,
    #[serde(default)]
    captions: Vec<Caption>,
}

#[derive(Deserialize)]
struct Publication {
    generation: Generation,
}

#[derive(Deserialize)]
struct Caption {
    file: String,
}

impl Named {
    /// Reads every record of the snapshot.
    pub(super) async fn read(snapshot: &mut Snapshot) -> Result<Self, StoreError> {
        let mut named = Self::default();
        for kind in snapshot.kinds().await? {
            let mut records = snapshot.records(&kind);
            while let Some((key, json)) = records.try_next().await? {
                named.take(key.as_str(), &json);
            }
        }
        Ok(named)
    }

    /// As if everything of a video were referred to.
    #[cfg(test)]
    pub(super) fn all_of(id: VideoId) -> Self {
        Self(HashMap::from([(id, Generations { all: true, ..Generations::default() })]))
    }

    fn take(&mut self, record: &str, json: &str) {
        let mut parts = record.split('/');
        let (kind, id, generation) = (parts.next(), parts.next(), parts.next());
        let Some(id) = id.and_then(|id| id.parse::<VideoId>().ok()) else { return };
        let named = self.0.entry(id).or_default();
        match kind {
            Some("video") => {
                // The original is referred to for as long as there is a video.
                named.some.insert(0);
                match serde_json::from_str::<Referring>(json) {
                    Ok(video) => {
                        named.some.insert(video.generation.get());
                        named.some.extend(video.published.map(|published| published.generation.get()));
                        named.captions.extend(video.captions.into_iter().map(|caption| caption.file));
                    }
                    Err(_) => named.all = true,
                }
            }
            Some("upload") => drop(named.some.insert(0)),
            Some("plan" | "track" | "job" | "trash") => match generation.and_then(|text| text.parse().ok()) {
                Some(generation) => drop(named.some.insert(generation)),
                None => named.all = true,
            },
            _ => named.all = true,
        }
    }

    /// Whether nothing refers to a blob. One whose key this version would not make is somebody else's, and stays.
    pub(super) fn is_orphan(&self, key: &BlobKey) -> bool {
        let mut parts = key.as_str().split('/');
        let (Some("v"), Some(id), Some(generation), Some(_)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let (Ok(id), Ok(generation)) = (id.parse::<VideoId>(), generation.parse::<u32>()) else { return false };
        self.0.get(&id).is_none_or(|named| {
            let is_named = match CaptionRecord::uploaded_file(key) {
                Some(file) => named.captions.contains(file),
                None => named.some.contains(&generation),
            };
            !named.all && !is_named
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(named: &Named, id: VideoId, rest: &str) -> bool {
        named.is_orphan(&format!("v/{id}/{rest}").parse().unwrap())
    }

    #[test]
    fn every_record_of_a_video_refers_to_its_generation() {
        let (id, mut named) = (VideoId::generate(), Named::default());
        assert!(orphan(&named, id, "2/720p/seg-00001.m4s"));
        named.take(&format!("video/{id}"), r#"{"v": 9, "generation": 2, "published": {"generation": 1, "new": true}}"#);
        for kept in ["0/original-000000", "0/tail-000003", "1/720p/init.mp4", "2/poster.jpg"] {
            assert!(!orphan(&named, id, kept), "{kept}");
        }
        assert!(orphan(&named, id, "3/720p/init.mp4") && orphan(&named, VideoId::generate(), "0/original-000000"));
        for record in ["plan/ID/3", "job/ID/4/chunk-1", "track/ID/5/000", "trash/ID/6"] {
            named.take(&record.replace("ID", &id.to_string()), "{}");
        }
        assert!((3..7).all(|generation| !orphan(&named, id, &format!("{generation}/a/b"))));
    }

    #[test]
    fn an_uploaded_caption_is_referred_to_by_its_name_alone() {
        let (id, mut named) = (VideoId::generate(), Named::default());
        named.take(&format!("video/{id}"), r#"{"generation": 1, "captions": [{"file": "en-1.vtt", "new": true}]}"#);
        assert!(!orphan(&named, id, "0/captions/en-1.vtt") && !orphan(&named, id, "1/captions/0.vtt"));
        assert!(orphan(&named, id, "0/captions/en-2.vtt"), "its process died before it wrote down the reference");
        named.take(&format!("trash/{id}/en-2.vtt"), "{}");
        assert!(!orphan(&named, id, "0/captions/en-2.vtt"), "the janitor is about to delete it");
        named.take(&format!("video/{id}"), r#"{"generation": 1, "captions": ["of another shape"]}"#);
        assert!(!orphan(&named, id, "0/captions/fr-1.vtt"));
    }

    #[test]
    fn an_upload_in_progress_and_what_is_not_understood_refer_to_everything_of_theirs() {
        let (upload, strange, newer, mut named) =
            (VideoId::generate(), VideoId::generate(), VideoId::generate(), Named::default());
        named.take(&format!("upload/{upload}"), "{}");
        named.take(&format!("video/{strange}"), r#"{"generation": "second"}"#);
        named.take(&format!("palette/{newer}/x"), "{}");
        assert!(!orphan(&named, upload, "0/tail-000001"));
        assert!(!orphan(&named, strange, "9/a/b") && !orphan(&named, newer, "9/a/b"));
    }

    #[test]
    fn keys_of_another_make_stay() {
        let named = Named::default();
        for key in ["v/x/1/a", "v/test", "backup/today", "a"] {
            assert!(!named.is_orphan(&key.parse().unwrap()), "{key}");
        }
    }
}
