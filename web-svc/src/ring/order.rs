//! The order in which replicas are asked. Pure.

use triton_api::NodeId;

use super::targets::Home;

/// Below this all nodes count as equally fast: the order among them is chance, which spreads the load.
const LATENCY_FLOOR_US: f64 = 1_000.0;
/// A node is slow that takes longer than this, and so many times as long as the fastest.
const SLOW_US: f64 = 50_000.0;
const SLOW_FACTOR: f64 = 8.0;
/// A node in another zone counts as this much slower.
const REMOTE_FACTOR: f64 = 3.0;

/// What is known of a replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replica {
    pub(super) node: NodeId,
    pub(super) home: Home,
    /// Its circuit is not closed.
    pub(super) open: bool,
    /// It lies in another zone than this process.
    pub(super) remote: bool,
    /// It has just failed this very reader.
    pub(super) avoid: bool,
    /// Recent time to the head of an answer, in microseconds.
    pub(super) latency_us: f64,
    /// Requests on their way to it from this process.
    pub(super) in_flight: u32,
    /// Chance, from 0 to 1.
    pub(super) chance: f64,
}

impl Replica {
    /// Expected wait: the latency times the queue in front (the "peak EWMA" of Finagle), blurred by up to a half.
    fn cost(&self) -> f64 {
        let queue = f64::from(self.in_flight) + 1.0;
        let distance = if self.remote { REMOTE_FACTOR } else { 1.0 };
        self.latency_us.max(LATENCY_FLOOR_US) * queue * distance * (1.0 + self.chance / 2.0)
    }
}

/// Sorts: strangers last, then what is likely to fail, then what is slow, then by epoch, then by cost. Strangers keep their given
/// order.
pub(super) fn sort(replicas: &mut [Replica]) {
    let holders = replicas.iter().filter(|replica| replica.home != Home::Stranger);
    let fastest_us = holders.map(|replica| replica.latency_us).fold(f64::INFINITY, f64::min);
    // While a migration runs, a slow node that is to receive a partition would hold up every read of it otherwise.
    let slow_us = (fastest_us * SLOW_FACTOR).max(SLOW_US);
    let is_slow = |r: &Replica| r.home != Home::Stranger && r.latency_us > slow_us;
    let rank = |r: &Replica| (r.home == Home::Stranger, r.avoid, r.open, is_slow(r), r.home != Home::Settled, r.home);
    replicas.sort_by(|a, b| {
        let by_cost = if a.home == Home::Stranger { std::cmp::Ordering::Equal } else { a.cost().total_cmp(&b.cost()) };
        rank(a).cmp(&rank(b)).then(by_cost)
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replica(node: u128, home: Home) -> Replica {
        let node = NodeId::from_u128(node);
        Replica { node, home, open: false, remote: false, avoid: false, latency_us: 2_000.0, in_flight: 0, chance: 0.0 }
    }

    fn first(mut replicas: Vec<Replica>) -> u128 {
        sort(&mut replicas);
        (0..9).find(|bits| NodeId::from_u128(*bits) == replicas[0].node).unwrap()
    }

    #[test]
    fn what_is_known_to_be_better_comes_first() {
        let plain = replica(1, Home::Settled);
        for worse in [
            Replica { open: true, latency_us: 0.0, ..replica(0, Home::Settled) },
            Replica { avoid: true, latency_us: 0.0, ..replica(0, Home::Settled) },
            Replica { remote: true, ..replica(0, Home::Settled) },
            Replica { latency_us: 9_000.0, ..replica(0, Home::Settled) },
            Replica { in_flight: 5, ..replica(0, Home::Settled) },
            Replica { latency_us: 0.0, ..replica(0, Home::Next) },
            Replica { latency_us: 0.0, ..replica(0, Home::Current) },
            Replica { latency_us: 0.0, ..replica(0, Home::Stranger) },
        ] {
            assert_eq!(first(vec![worse, plain]), 1, "{worse:?}");
        }
        let slow_newcomer = Replica { latency_us: 100_000.0, ..replica(0, Home::Next) };
        assert_eq!(first(vec![slow_newcomer, replica(1, Home::Current)]), 1);
        let slow_as_all = Replica { latency_us: 90_000.0, ..replica(0, Home::Current) };
        assert_eq!(first(vec![slow_as_all, Replica { latency_us: 100_000.0, ..replica(1, Home::Next) }]), 1);
        let near_but_very_slow = Replica { latency_us: 50_000.0, ..replica(0, Home::Settled) };
        assert_eq!(first(vec![near_but_very_slow, Replica { remote: true, ..plain }]), 1);
    }

    #[test]
    fn equally_fast_nodes_share_the_load() {
        let fast = |node, chance| Replica { latency_us: 400.0, chance, ..replica(node, Home::Settled) };
        assert_eq!(first(vec![fast(0, 0.9), fast(1, 0.1)]), 1);
        assert_eq!(first(vec![fast(0, 0.1), fast(1, 0.9)]), 0);
    }

    fn replicas() -> impl Strategy<Value = Vec<Replica>> {
        let home = prop_oneof![Just(Home::Settled), Just(Home::Next), Just(Home::Current), Just(Home::Stranger)];
        let one = (home, any::<[bool; 3]>(), 0.0..1e6_f64, 0_u32..100, 0.0..1.0_f64);
        prop::collection::vec(one, 0..12).prop_map(|all| {
            let make = |(at, (home, [open, remote, avoid], latency_us, in_flight, chance)): (
                usize,
                (Home, [bool; 3], f64, u32, f64),
            )| {
                let node = NodeId::from_u128(at as u128);
                Replica { node, home, open, remote, avoid, latency_us, in_flight, chance }
            };
            all.into_iter().enumerate().map(make).collect()
        })
    }

    proptest! {
        #[test]
        fn order_drops_nobody_and_asks_strangers_last(replicas in replicas()) {
            let mut sorted = replicas.clone();
            sort(&mut sorted);
            let ids = |all: &[Replica]| { let mut ids: Vec<_> = all.iter().map(|r| r.node).collect(); ids.sort(); ids };
            prop_assert_eq!(ids(&sorted), ids(&replicas));
            prop_assert!(sorted.is_sorted_by_key(|r| r.home == Home::Stranger));
            for pair in sorted.windows(2) {
                if pair[0].open && !pair[1].open {
                    prop_assert!(pair[1].home == Home::Stranger || (pair[1].avoid && !pair[0].avoid));
                }
            }
        }
    }
}
