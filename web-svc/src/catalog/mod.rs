//! The catalog's records: what the journal keeps of videos, their jobs and what is to be deleted.
//!
//! Records are JSON with a version. Fields that this version does not know survive a rewrite in `rest`, so that an older
//! process can run beside a newer one.

mod job;
mod title;
mod track;
mod trash;
mod upload;
mod video;
pub mod view;

pub use job::{JobKind, JobRecord, Lease};
pub use title::{Title, TitleError, title_of_file};
pub use track::{StoredRendition, TrackKind, TrackRecord};
pub use trash::TrashRecord;
pub use upload::{UploadKind, UploadRecord, UploadState};
pub use video::{Original, PART_BYTES, Published, VideoRecord};

/// Fields of a record that this version does not know.
pub type Rest = serde_json::Map<String, serde_json::Value>;
