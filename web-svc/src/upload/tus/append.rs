//! Appending bytes to a claimed upload.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{TusError, claim::Claim};
use crate::{
    catalog::{PART_BYTES, UploadKind},
    upload::{
        UploadError,
        receive::{Receiver, unless_silent},
    },
};

/// Appends the bytes; commits after each part that is durable, and at the end, however it comes.
pub(super) async fn append<S>(mut claim: Claim, bytes: S) -> Result<(), TusError>
where
    S: Stream<Item = Result<Bytes, TusError>> + Unpin + Send,
{
    claim.drop_strays().await?;
    let (ring, room) = (claim.app.ring.clone(), claim.app.uploads.room.clone());
    let mut receiver = Receiver::new(ring, room, claim.record.id, claim.record.len_bytes);
    if claim.record.tail.is_some() {
        let stop = claim.app.shutdown.clone();
        // Cancel safe: a token, and a place that nobody has yet.
        let room = async {
            tokio::select! {
                () = stop.cancelled() => Err(TusError::Stopping),
                made = receiver.make_room() => Ok(made?),
            }
        };
        if let Err(error) = claim.meanwhile(room).await {
            return claim.release().await.and(Err(error));
        }
    }
    let tail = claim.read_tail().await?;
    let record = &claim.record;
    let (parts, is_video) = (record.offset_bytes / PART_BYTES, record.kind != UploadKind::Partial);
    let mut receiver = receiver.resume(parts, tail, is_video);
    match pump(&mut claim, &mut receiver, bytes).await {
        // Somebody else has the upload now, or it is no video: there is nothing to keep.
        Err(error) if matches!(error, TusError::Superseded) || error.refusal().is_some() => Err(error),
        pumped => match keep(&mut claim, receiver).await {
            // Why there is a hole is what the pump ended with.
            Err(TusError::Upload(UploadError::Hole)) => pumped,
            kept => kept.and(pumped),
        },
    }
}

/// What happens next to an upload.
enum Event {
    /// A part is durable.
    Landed,
    /// More bytes are here, or no more will come.
    Arrived(Option<Bytes>),
}

async fn pump<S>(claim: &mut Claim, receiver: &mut Receiver, mut bytes: S) -> Result<(), TusError>
where
    S: Stream<Item = Result<Bytes, TusError>> + Unpin + Send,
{
    let (stop, len_bytes) = (claim.app.shutdown.clone(), claim.record.len_bytes);
    loop {
        match claim.meanwhile(next_event(receiver, &mut bytes, &stop)).await? {
            Event::Landed => {}
            Event::Arrived(None) => return Ok(()),
            Event::Arrived(Some(chunk)) => {
                if receiver.received_bytes() + chunk.len() as u64 > len_bytes {
                    return Err(TusError::BeyondLength { len_bytes });
                }
                claim.meanwhile(receiver.push(chunk)).await?;
            }
        }
        claim.advance(receiver.durable_parts()).await?;
    }
}

async fn next_event<S>(receiver: &mut Receiver, bytes: &mut S, stop: &CancellationToken) -> Result<Event, TusError>
where
    S: Stream<Item = Result<Bytes, TusError>> + Unpin + Send,
{
    // Cancel safe: a token, a part that stays on its way, and a stream.
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(TusError::Stopping),
        landed = receiver.landed() => {
            landed?;
            Ok(Event::Landed)
        }
        arrived = unless_silent(bytes.next()) => Ok(Event::Arrived(arrived?.transpose()?)),
    }
}

/// Makes durable what has arrived, and commits it: of parts that were not all written, those before the first that was not.
async fn keep(claim: &mut Claim, mut receiver: Receiver) -> Result<(), TusError> {
    let len_bytes = claim.record.len_bytes;
    let settled = claim.meanwhile(settle(&mut receiver, len_bytes)).await;
    if settled.as_ref().is_err_and(|error| error.refusal().is_some()) {
        return settled;
    }
    claim.note(receiver.durable_parts());
    let kept = match settled {
        Ok(()) if receiver.received_bytes() > claim.record.offset_bytes => {
            let (rest, _place) = receiver.into_rest();
            claim.keep_tail(rest).await
        }
        settled => settled,
    };
    claim.release().await.and(kept)
}

/// Waits until every part is durable, the last and shorter one included where all bytes have arrived.
async fn settle(receiver: &mut Receiver, len_bytes: u64) -> Result<(), UploadError> {
    if receiver.received_bytes() == len_bytes {
        receiver.send_rest().await?;
    }
    receiver.settle().await
}
