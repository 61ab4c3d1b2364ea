//! Resumable uploads after the tus protocol, version 1.0.0, that survive a restart and go on at any web service.
//!
//! Nothing about an upload lives in a process: its record is in the journal, its bytes are on the ring. A request that sends
//! bytes claims the record ([`claim`]), appends whole parts and commits after each ([`append`]), and keeps the rest as a
//! tail. When all bytes are there the upload is examined and queued ([`complete`]), by whichever request or janitor comes
//! first. Every step can be done twice.

mod append;
mod checksum;
mod claim;
mod complete;
mod concat;
mod create;
mod end;
mod error;
mod metadata;
mod sweep;
mod touch;

use std::future::Future;

use futures_util::{StreamExt, TryStreamExt};
use tracing::Instrument as _;
use triton_api::VideoId;

pub use checksum::Checksum;
pub use claim::find;
pub use complete::complete;
pub use concat::join;
pub use create::{NewUpload, create};
pub use end::end;
pub use error::TusError;
pub use sweep::{Sightings, sweep};

use super::{UploadError, refuse::Rest};
use crate::{
    app::App,
    catalog::{UploadKind, UploadRecord},
    store::Stored,
};
use claim::Claim;

/// How often a change is decided again when somebody else was faster.
const CONFLICTS_MAX: u32 = 8;

/// A request's bytes for an upload.
pub struct Chunk {
    /// Where they begin.
    pub offset: u64,
    /// How many they are said to be; 0 where that is not known.
    pub declared_bytes: u64,
    /// They themselves.
    pub body: Rest,
    /// What they are to hash to.
    pub checksum: Option<Checksum>,
}

/// Appends a chunk, and queues the video where that was the end. Returns the record as it is then.
///
/// The work goes on where the caller is dropped: what arrived is kept.
///
/// # Errors
/// [`TusError::Offset`] and [`TusError::Superseded`] leave the upload as others have it; after any other error it has what
/// is durable of the body, and nothing of a body with a checksum that does not match.
pub async fn receive(app: &App, id: VideoId, chunk: Chunk) -> Result<UploadRecord, TusError> {
    detached(app, receive_now(app.clone(), id, chunk)).await
}

/// Does work that goes on where the caller is dropped, as it is when its client breaks off.
async fn detached<T>(app: &App, work: impl Future<Output = Result<T, TusError>> + Send + 'static) -> Result<T, TusError>
where
    T: Send + 'static,
{
    app.uploads.tasks.spawn(work.in_current_span()).await.map_err(TusError::Panicked)?
}

async fn receive_now(app: App, id: VideoId, chunk: Chunk) -> Result<UploadRecord, TusError> {
    let Chunk { offset, declared_bytes, body, checksum } = chunk;
    let Stored { value: record, .. } = find(&app, id).await?;
    if record.kind == UploadKind::Final {
        return Err(TusError::Final);
    }
    if offset.saturating_add(declared_bytes) > record.len_bytes {
        return Err(TusError::BeyondLength { len_bytes: record.len_bytes });
    }
    if !(record.is_complete() && record.offset_bytes == offset) {
        let appended = match checksum {
            None => {
                let claim = Claim::take(&app, id, Some(offset)).await?;
                append::append(claim, body.map_err(broken_off).boxed()).await
            }
            Some(checksum) => {
                claim::check_offset(&record, offset)?;
                let chunk = checksum.verify(&app, body.map_err(broken_off).boxed(), record.len_bytes - offset).await?;
                let claim = Claim::take(&app, id, Some(offset)).await?;
                append::append(claim, chunk).await
            }
        };
        end_where_refused(&app, id, appended).await?;
    }
    complete(&app, id).await?;
    Ok(find(&app, id).await?.value)
}

/// What is no video goes at once.
async fn end_where_refused(app: &App, id: VideoId, appended: Result<(), TusError>) -> Result<(), TusError> {
    if let Err(error) = &appended
        && let Some(reason) = error.refusal()
    {
        end(app, id, Some(reason)).await?;
    }
    appended
}

#[expect(clippy::needless_pass_by_value, reason = "it is a function for map_err")]
fn broken_off(error: axum::Error) -> TusError {
    UploadError::BrokenOff(error.to_string()).into()
}
