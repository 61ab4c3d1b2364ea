//! Writers and deleters.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::timeout;
use triton_api::{BlobKey, client::ClientError};
use web_svc::ring::{Ring, RingError};

use super::{
    books::{Books, Stand},
    content::{content, length},
    counts::Broken,
    grounds::REPLICAS,
    scene::Scene,
};

/// Between two writes of a writer, in milliseconds.
const WRITE_REST_MS: std::ops::Range<u64> = 10..80;
/// Between two deletes of a deleter.
const DELETE_REST_MS: std::ops::Range<u64> = 20..120;
/// How often a writer goes away in the middle of a write.
const LEAVES: f64 = 0.02;
/// How often a writer writes again what was not acknowledged.
const INSISTS: f64 = 0.6;
const ATTEMPTS_MAX: u32 = 4;
/// How often the copies of a write are counted, and how many there must be.
const COUNTED: f64 = 0.2;
const MAJORITY: usize = REPLICAS as usize / 2 + 1;
const COUNT_TIMEOUT: Duration = Duration::from_millis(300);
/// A delete that took less was not given up by any holder: the ring waits for the last of them for half a second.
const FIRM_WITHIN: Duration = Duration::from_millis(400);
/// Circuits that a harm has opened are closed again after so long a calm.
const CALM: Duration = Duration::from_secs(12);

/// Writes blobs until the end.
pub(super) async fn write(scene: Scene, ring: Ring, name: u64, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    for number in 0.. {
        if !scene.rest(Duration::from_millis(dice.random_range(WRITE_REST_MS))).await {
            return;
        }
        let written = write_one(&scene.books, &ring, seed, (name, number), &mut dice).await;
        if let Some(entry) = written
            && dice.random_bool(COUNTED)
        {
            count_copies(&scene, entry).await;
        }
    }
}

/// Writes one blob, with some insistence, and answers its entry where it was acknowledged.
pub(super) async fn write_one(
    books: &Arc<Books>,
    ring: &Ring,
    seed: u64,
    (writer, number): (u64, u64),
    dice: &mut StdRng,
) -> Option<usize> {
    let Ok(key) = format!("v/fault-{writer}/1/{number}").parse::<BlobKey>() else { return None };
    let len_bytes = length(dice, books.open().content_bytes);
    let content = content(seed, number, len_bytes);
    let entry = books.begin(key.clone(), content.clone());
    for _ in 0..ATTEMPTS_MAX {
        let patience = if dice.random_bool(LEAVES) { dice.random_range(0..30) } else { 60_000 };
        let written = timeout(Duration::from_millis(patience), ring.put(&key, content.clone())).await;
        match written {
            Ok(Ok(receipt)) => {
                let mut inner = books.open();
                inner.counts.writes_acknowledged += 1;
                inner.entries[entry].stand = Stand::Acknowledged;
                if receipt.hash != inner.entries[entry].hash {
                    drop(inner);
                    books.breach(Broken::WrongBytes, &format!("{key} was acknowledged with another hash"));
                }
                return Some(entry);
            }
            Ok(Err(error @ (RingError::Exists { .. } | RingError::Deleted { .. }))) => {
                books.breach(Broken::WrongBytes, &format!("{key} was written for the first time: {error}"));
                return None;
            }
            Ok(Err(error)) => tracing_line(books, &format!("write of {key}: {error}")),
            Err(_) => {}
        }
        books.open().counts.writes_unsure += 1;
        if !dice.random_bool(INSISTS) {
            return None;
        }
    }
    None
}

/// Counts the copies of what was acknowledged a moment ago; a node that cannot be asked may have one.
async fn count_copies(scene: &Scene, entry: usize) {
    let (books, key) = (&scene.books, scene.books.entry(entry).key);
    let answers = scene.nodes.iter().map(|node| timeout(COUNT_TIMEOUT, node.head(&key)));
    let answers = futures_util::future::join_all(answers).await;
    let may_have = |answer: &Result<Result<_, ClientError>, _>| match answer {
        Ok(Ok(found)) => Option::is_some(found),
        Ok(Err(error)) => !error.is_deleted(),
        Err(_) => true,
    };
    let possible = answers.iter().filter(|answer| may_have(answer)).count();
    if possible < MAJORITY && books.stand(entry) == Stand::Acknowledged && !books.weather.is_content_lost() {
        books.breach(Broken::FewCopies, &format!("{key} has {possible} copies at most"));
    }
}

/// Deletes acknowledged blobs until the end.
pub(super) async fn delete(scene: Scene, ring: Ring, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    while scene.rest(Duration::from_millis(dice.random_range(DELETE_REST_MS))).await {
        // What was left half deleted is tried again now and then.
        let again = dice.random_bool(0.2);
        let wanted = |stand| stand == Stand::Acknowledged || (again && stand == Stand::Leaving);
        let Some(number) = scene.books.pick(&mut dice, wanted) else { continue };
        delete_one(&scene.books, &ring, number).await;
    }
}

/// Deletes one blob.
pub(super) async fn delete_one(books: &Arc<Books>, ring: &Ring, number: usize) {
    let (key, began) = (books.entry(number).key, Instant::now());
    books.set(number, Stand::Leaving);
    let deleted = ring.delete(&key).await;
    let mut inner = books.open();
    if let Err(error) = deleted {
        inner.counts.deletes_unsure += 1;
        drop(inner);
        tracing_line(books, &format!("delete of {key}: {error}"));
        return;
    }
    inner.counts.deletes_acknowledged += 1;
    let firm = began.elapsed() < FIRM_WITHIN && books.weather.was_calm(CALM, began);
    inner.entries[number].stand = Stand::Deleted { firm };
}

/// One line of the run's log.
fn tracing_line(books: &Books, text: &str) {
    super::log::line(books.at(), text);
}
