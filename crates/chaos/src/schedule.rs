//! What will be done to a fleet and when, decided from the seed alone. Pure.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use triton_testkit::Cut;

use crate::harm::{Harm, Kind, Part, Parts};

/// The shortest and the longest rest before a disturbance, in milliseconds.
const REST_MS: std::ops::Range<u64> = 500..2_500;
/// The shortest and the longest time that a disturbance lasts, in milliseconds.
const HOLD_MS: std::ops::Range<u64> = 2_000..8_000;

/// How often each kind of disturbance comes before the deck is shuffled again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deck {
    /// The cards.
    pub cards: Vec<(Kind, usize)>,
    /// How long all of etcd is away when it is.
    pub etcd_away: Duration,
    /// The divisor of all times, for a run in a hurry.
    pub haste: u32,
}

impl Deck {
    /// Some of everything, and the leader of etcd most of all, for its median needs ten kills.
    pub fn long() -> Self {
        let cards = vec![
            (Kind::EtcdLeaderKilled, 10),
            (Kind::StorageKilled, 4),
            (Kind::StorageSuspended, 3),
            (Kind::StorageIsolated, 2),
            (Kind::WebKilled, 3),
            (Kind::WebTerminated, 1),
            (Kind::WebSuspended, 2),
            (Kind::WebCutFromStorage, 2),
            (Kind::WebCutFromEtcd, 2),
            (Kind::WorkerKilled, 2),
            (Kind::WorkerSuspended, 1),
            (Kind::EtcdMemberKilled, 1),
            (Kind::EtcdMemberSuspended, 1),
            (Kind::EtcdMemberIsolated, 2),
            (Kind::EtcdStopped, 1),
        ];
        Self { cards, etcd_away: Duration::from_secs(15), haste: 1 }
    }

    /// One of most kinds, for a run of about a minute.
    pub fn short() -> Self {
        let kinds = [
            Kind::StorageKilled,
            Kind::StorageSuspended,
            Kind::StorageIsolated,
            Kind::WebKilled,
            Kind::WebSuspended,
            Kind::WebCutFromStorage,
            Kind::WebCutFromEtcd,
            Kind::WorkerKilled,
            Kind::EtcdMemberIsolated,
            Kind::EtcdLeaderKilled,
            Kind::EtcdStopped,
        ];
        let cards = kinds.into_iter().map(|kind| (kind, 1)).collect();
        Self { cards, etcd_away: Duration::from_secs(9), haste: 2 }
    }
}

/// One disturbance of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What kind.
    pub kind: Kind,
    /// What exactly; of etcd's leader it is only known then who that is.
    pub harm: Option<Harm>,
    /// The rest before.
    pub rest: Duration,
    /// How long it lasts.
    pub hold: Duration,
}

/// An endless schedule: decks, each shuffled, one after the other.
pub fn schedule(seed: u64, deck: &Deck, parts: Parts) -> impl Iterator<Item = Step> {
    let mut rng = StdRng::seed_from_u64(seed);
    let cards: Vec<Kind> = deck
        .cards
        .iter()
        .filter(|(kind, _)| kind.exists_in(parts))
        .flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count))
        .collect();
    let (etcd_away, haste) = (deck.etcd_away, deck.haste.max(1));
    let mut hand = Vec::new();
    std::iter::from_fn(move || {
        if hand.is_empty() {
            hand.clone_from(&cards);
            hand.shuffle(&mut rng);
        }
        let kind = hand.pop()?;
        let rest = Duration::from_millis(rng.random_range(REST_MS)) / haste;
        let hold = Duration::from_millis(rng.random_range(HOLD_MS)) / haste;
        let hold = if kind == Kind::EtcdStopped { etcd_away } else { hold };
        Some(Step { kind, harm: harm(kind, parts, &mut rng), rest, hold })
    })
}

fn harm(kind: Kind, parts: Parts, rng: &mut StdRng) -> Option<Harm> {
    let mut any = |count: usize| rng.random_range(0..count.max(1));
    let (storage, web, worker, etcd) = (any(parts.storage), any(parts.webs), any(parts.workers), any(parts.etcd));
    let cut = if rng.random_bool(0.5) { Cut::Reject } else { Cut::Swallow };
    Some(match kind {
        Kind::StorageKilled => Harm::Kill(Part::Storage(storage)),
        Kind::StorageSuspended => Harm::Suspend(Part::Storage(storage)),
        Kind::StorageIsolated => Harm::IsolateStorage(storage, cut),
        Kind::WebKilled => Harm::Kill(Part::Web(web)),
        Kind::WebTerminated => Harm::Terminate(Part::Web(web)),
        Kind::WebSuspended => Harm::Suspend(Part::Web(web)),
        Kind::WebCutFromStorage => Harm::CutWebFromStorage(web, storage, cut),
        Kind::WebCutFromEtcd => Harm::CutWebFromEtcd(web, cut),
        Kind::WorkerKilled => Harm::Kill(Part::Worker(worker)),
        Kind::WorkerSuspended => Harm::Suspend(Part::Worker(worker)),
        Kind::EtcdMemberKilled => Harm::Kill(Part::Etcd(etcd)),
        Kind::EtcdMemberSuspended => Harm::Suspend(Part::Etcd(etcd)),
        Kind::EtcdMemberIsolated => Harm::IsolateEtcd(etcd, cut),
        Kind::EtcdLeaderKilled => return None,
        Kind::EtcdStopped => Harm::KillAllEtcd,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Parts = Parts { storage: 5, webs: 2, workers: 1, etcd: 3 };

    fn first(seed: u64, count: usize, parts: Parts) -> Vec<Step> {
        schedule(seed, &Deck::long(), parts).take(count).collect()
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(first(7, 100, ALL), first(7, 100, ALL));
        assert_ne!(first(7, 100, ALL), first(8, 100, ALL));
    }

    #[test]
    fn one_deck_has_ten_kills_of_the_leader_and_one_end_of_all_etcd() {
        let size = Deck::long().cards.iter().map(|(_, count)| count).sum();
        let steps = first(1, size, ALL);
        let count = |kind| steps.iter().filter(|step| step.kind == kind).count();
        assert_eq!((count(Kind::EtcdLeaderKilled), count(Kind::EtcdStopped)), (10, 1));
    }

    #[test]
    fn only_what_is_there_is_hit() {
        let parts = Parts { storage: 4, webs: 1, workers: 0, etcd: 0 };
        assert!(first(3, 200, parts).iter().all(|step| step.kind.exists_in(parts)));
        let nothing = Parts { storage: 0, webs: 0, workers: 0, etcd: 0 };
        assert_eq!(first(3, 10, nothing), []);
    }
}
