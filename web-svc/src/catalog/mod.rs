//! The catalog's records: what the journal keeps of videos, their jobs and what is to be deleted.
//!
//! Records are JSON with a version. Fields that this version does not know survive a rewrite in `rest`, at whatever depth
//! they are, so that an older process can run beside a newer one (see [`rest`]). What lives by itself inside of a record,
//! such as a lease, has a `rest` of its own: the next lease must not inherit from the one before.

mod caption;
mod job;
pub(crate) mod rest;
mod title;
mod track;
mod trash;
mod upload;
mod video;
pub mod view;

pub use caption::{CaptionRecord, Offered};
pub use job::{JobKind, JobRecord, Lease};
pub use title::{Title, TitleError, title_of_file};
pub use track::{StoredRendition, TrackKind, TrackRecord};
pub use trash::TrashRecord;
pub use upload::{UploadKind, UploadRecord, UploadState};
pub use video::{Original, PART_BYTES, Published, VideoRecord};

pub(crate) use rest::keeps_unknown_fields;
pub use triton_api::layout::Rest;
