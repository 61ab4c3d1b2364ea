//! Captions in the records: uploaded ones belong to the video, embedded ones to the generation whose job read them.

use serde::{Deserialize, Serialize};
use triton_api::{
    BlobHash, BlobKey, Generation, Language, VideoId,
    caption::{Caption, CaptionKind, CaptionOrigin, route},
};

use super::{Rest, VideoRecord};

/// The folder of captions beside those of the renditions; a blob's key has it as the rendition's name.
const FOLDER: &str = "captions";

/// What the journal keeps of the captions in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptionRecord {
    /// The language.
    pub language: Language,
    /// What a menu shows instead of the language's name.
    #[serde(default)]
    pub label: Option<String>,
    /// For whom they are.
    pub kind: CaptionKind,
    /// The name of the blob in the folder of captions: never that of another content.
    pub file: String,
    /// The blob's hash, which tells a repeated upload from a new one.
    pub blake3: BlobHash,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

impl CaptionRecord {
    /// The name for a new upload. A key that was deleted is never used again, so the same text needs another one later.
    pub fn new_file(language: &Language) -> String {
        format!("{language}-{}.vtt", uuid::Uuid::now_v7().simple())
    }

    /// The name for the track of that number among those that a plan extracts.
    pub fn embedded_file(number: usize) -> String {
        format!("{number}.vtt")
    }

    /// The blob of a file of captions; generation 0 has the uploaded ones, as it has the original.
    ///
    /// `None` where a name does not fit the grammar of keys, which no process has written.
    pub fn blob(id: VideoId, generation: Generation, file: &str) -> Option<BlobKey> {
        VideoRecord::media_file(id, generation, FOLDER, file)
    }

    /// The file, where a blob is an uploaded caption of whatever video.
    pub(crate) fn uploaded_file(key: &BlobKey) -> Option<&str> {
        let (_, rest) = key.as_str().strip_prefix("v/")?.split_once('/')?;
        rest.strip_prefix("0/")?.strip_prefix(FOLDER)?.strip_prefix('/')
    }
}

impl VideoRecord {
    /// The blobs of all captions, hidden ones included.
    pub fn caption_blobs(&self) -> impl Iterator<Item = BlobKey> + '_ {
        let uploaded = self.captions.iter().map(|caption| (Generation::new(0), caption));
        let embedded = self
            .published
            .iter()
            .flat_map(|published| published.captions.iter().map(|caption| (published.generation, caption)));
        uploaded
            .chain(embedded)
            .filter_map(|(generation, caption)| CaptionRecord::blob(self.id, generation, &caption.file))
    }
}

/// Captions that can be read along with what plays now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// What they are.
    pub record: CaptionRecord,
    /// Where they come from.
    pub origin: CaptionOrigin,
    /// Whose blob it is; 0 for uploaded ones.
    pub generation: Generation,
}

impl Offered {
    /// Those of a video, in the order of their languages: one each, an uploaded one before an embedded one.
    pub fn of(video: &VideoRecord) -> Vec<Self> {
        let uploaded = video.captions.iter().map(|record| (record, CaptionOrigin::Uploaded, Generation::new(0)));
        let embedded = video.published.iter().flat_map(|published| {
            published.captions.iter().map(|record| (record, CaptionOrigin::Embedded, published.generation))
        });
        let mut all: Vec<Self> = Vec::new();
        for (record, origin, generation) in uploaded.chain(embedded) {
            if all.iter().all(|other| other.record.language != record.language) {
                all.push(Self { record: record.clone(), origin, generation });
            }
        }
        all.sort_by(|a, b| a.record.language.cmp(&b.record.language));
        all
    }

    /// As the API shows it.
    pub fn view(&self, id: VideoId) -> Caption {
        let CaptionRecord { language, label, kind, blake3, .. } = &self.record;
        let file = format!("{language}.vtt");
        let path = route::CAPTION_FILE.replace("{id}", &id.to_string()).replace("{file}", &file);
        // A player that has loaded the former text sees by the address that there is another one.
        let version: String = blake3.to_string().chars().take(8).collect();
        let url = format!("{path}?v={version}");
        Caption { language: language.clone(), label: label.clone(), kind: *kind, origin: self.origin, url }
    }

    /// The blob.
    pub fn blob(&self, id: VideoId) -> Option<BlobKey> {
        CaptionRecord::blob(id, self.generation, &self.record.file)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn caption(language: &str, file: &str) -> CaptionRecord {
        CaptionRecord {
            language: language.parse().unwrap(),
            label: None,
            kind: CaptionKind::Subtitles,
            file: file.to_owned(),
            blake3: BlobHash::of(file.as_bytes()),
            rest: Rest::new(),
        }
    }

    #[test]
    fn an_uploaded_caption_hides_the_embedded_one_of_its_language() {
        let published = json!({"generation": 3, "duration_ms": 1, "width": 640, "height": 360, "renditions": [],
            "poster": true, "storyboard": true});
        let mut video: VideoRecord =
            serde_json::from_value(json!({"v": 1, "id": "AZkAAAAAcACAAAAAAAAAAQ", "title": "t",
            "description": "", "visibility": "public", "state": "ready", "created_at": "2026-01-02T03:04:05Z",
            "original": {"len_bytes": 1, "file_name": "a.mkv"}, "generation": 3, "published": published}))
            .unwrap();
        assert_eq!(Offered::of(&video), [], "a record of an older version has none");
        video.captions = vec![caption("fr", "fr-1.vtt"), caption("en", "en-1.vtt")];
        video.published.as_mut().unwrap().captions = vec![caption("en", "0.vtt"), caption("de", "1.vtt")];
        let offered = Offered::of(&video);
        let keys: Vec<String> = offered.iter().map(|one| one.blob(video.id).unwrap().to_string()).collect();
        let at = |rest: &str| format!("v/{}/{rest}", video.id);
        assert_eq!(keys, [at("3/captions/1.vtt"), at("0/captions/en-1.vtt"), at("0/captions/fr-1.vtt")]);
        assert!(video.caption_blobs().any(|key| key.as_str() == at("3/captions/0.vtt")), "a hidden one is there, too");
        let view = offered[1].view(video.id);
        assert!(view.url.contains("/captions/en.vtt?v="), "{}", view.url);
        assert_eq!(view.origin, CaptionOrigin::Uploaded);
    }

    #[test]
    fn the_key_tells_an_uploaded_caption() {
        let id = VideoId::generate();
        let key = |generation, file: &str| CaptionRecord::blob(id, Generation::new(generation), file).unwrap();
        let file = CaptionRecord::new_file(&"zh-Hant".parse().unwrap());
        assert_eq!(CaptionRecord::uploaded_file(&key(0, &file)), Some(file.as_str()));
        assert_eq!(CaptionRecord::uploaded_file(&key(1, "0.vtt")), None);
        assert_eq!(CaptionRecord::uploaded_file(&VideoRecord::original_part(id, 0)), None);
        assert_eq!(CaptionRecord::blob(id, Generation::new(0), "../x"), None);
    }
}
