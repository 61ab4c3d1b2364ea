//! Readers: whole blobs and ranges, every byte compared.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use rand::{Rng, SeedableRng, rngs::StdRng};
use triton_api::BlobKey;
use web_svc::ring::{Ring, RingError};

use super::{
    books::{Books, Entry, Stand},
    counts::Broken,
    scene::Scene,
};

/// Between two reads of a reader, in milliseconds.
const REST_MS: Range<u64> = 2..30;
/// Nodes that may be harmed at once while reads are promised.
const HARMED_MAX: usize = 1;

/// Reads blobs until the end.
pub(super) async fn read(scene: Scene, ring: Ring, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    while scene.rest(Duration::from_millis(dice.random_range(REST_MS))).await {
        let kind = dice.random_range(0..20);
        let wanted = |stand| match kind {
            0 => stand == Stand::Unsure,
            1 => stand == Stand::Leaving,
            2..5 => matches!(stand, Stand::Deleted { .. }),
            _ => stand == Stand::Acknowledged,
        };
        let Some(number) = scene.books.pick(&mut dice, wanted) else { continue };
        let entry = scene.books.entry(number);
        let part = dice.random_bool(0.3).then(|| part_of(entry.content.len(), &mut dice));
        read_one(&scene.books, &ring, number, &entry, part).await;
    }
}

/// Some part of a blob; now and then one that reaches beyond its end.
fn part_of(len_bytes: usize, dice: &mut impl Rng) -> Range<u64> {
    let len_bytes = len_bytes as u64;
    let start = dice.random_range(0..len_bytes);
    let end = dice.random_range(start + 1..=len_bytes + len_bytes / 8 + 1);
    start..end
}

/// Reads a blob or a part of it and compares; says what was wrong with it, if anything.
async fn read_one(books: &Books, ring: &Ring, number: usize, entry: &Entry, part: Option<Range<u64>>) {
    let began = Instant::now();
    let read = fetch(ring, &entry.key, part.clone()).await;
    let took = began.elapsed();
    let mild = books.weather.worst_since(began) <= HARMED_MAX;
    let stand = books.stand(number);
    count(books, entry, part.as_ref(), matches!(read, Ok(Some(_))) && mild, took);
    match read {
        Ok(Some(bytes)) => judge_bytes(books, entry, part, &bytes),
        Ok(None) if entry.stand == Stand::Acknowledged && stand == Stand::Acknowledged => {
            // Where a disk was lost, the one copy of a blob that nobody else answers for may have been there.
            if books.weather.is_content_lost() {
                books.open().counts.unavailable += 1;
            } else {
                books.breach(Broken::Lost, &format!("{} is said not to be there", entry.key));
            }
        }
        Ok(None) => {}
        Err(error) if mild && entry.stand == Stand::Acknowledged => {
            let what = part.map_or_else(|| "whole".to_owned(), |part| format!("{part:?}"));
            let text = format!("{} ({what} of {} B) after {took:?}: {error}", entry.key, entry.content.len());
            books.breach(Broken::FailedRead, &text);
        }
        Err(_) => books.open().counts.unavailable += 1,
    }
}

fn count(books: &Books, entry: &Entry, part: Option<&Range<u64>>, judged: bool, took: Duration) {
    let now = books.weather.now();
    let mut inner = books.open();
    inner.counts.reads += 1;
    inner.counts.ranges += u64::from(part.is_some());
    inner.counts.reads_of_deleted += u64::from(matches!(entry.stand, Stand::Deleted { .. }));
    if judged && entry.stand == Stand::Acknowledged {
        inner.counts.judge(took, || format!("{} B ({part:?}), during {now}", entry.content.len()));
    }
}

fn judge_bytes(books: &Books, entry: &Entry, part: Option<Range<u64>>, bytes: &Bytes) {
    let len_bytes = entry.content.len();
    let part = part.map_or(0..len_bytes, |part| {
        let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(len_bytes);
        bound(part.start)..bound(part.end)
    });
    if entry.content.get(part.clone()) != Some(&bytes[..]) {
        let text = format!("{} {part:?} of {len_bytes} B: {} B arrived that differ", entry.key, bytes.len());
        books.breach(Broken::WrongBytes, &text);
    }
    match entry.stand {
        Stand::Deleted { firm: true } => {
            books.breach(Broken::CameBack, &format!("{} is served after all holders had deleted it", entry.key));
        }
        Stand::Deleted { firm: false } => books.open().counts.stale += 1,
        Stand::Unsure | Stand::Acknowledged | Stand::Leaving => {}
    }
}

/// The bytes; `None` where the blob is said to be absent.
pub(super) async fn fetch(ring: &Ring, key: &BlobKey, part: Option<Range<u64>>) -> Result<Option<Bytes>, RingError> {
    let mut read = match ring.open(key, part).await {
        Ok(read) => read,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = BytesMut::new();
    while let Some(chunk) = match read.stream.try_next().await {
        Ok(chunk) => chunk,
        // Deleted while it was read.
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error),
    } {
        content.extend_from_slice(&chunk);
    }
    Ok(Some(content.freeze()))
}
