//! How many partitions each node is due: by weight, within what distinct copies and zones allow.
//!
//! All of it is exact arithmetic on whole numbers; a float that rounds the wrong way would move data.

/// What the quota of a node depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) zone: usize,
    pub(crate) weight: u32,
}

/// How many copies of each partition a zone has: `low` or `high`, which differ by one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) low: usize,
    pub(crate) high: usize,
}

/// A number of partitions as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    numerator: u128,
    denominator: u128,
}

impl Share {
    /// The nearest whole number that is not greater.
    pub(crate) fn floor(self) -> usize {
        to_count(self.numerator / self.denominator)
    }

    /// The nearest whole number that is not smaller.
    pub(crate) fn ceil(self) -> usize {
        to_count(self.numerator.div_ceil(self.denominator))
    }

    /// The nearest float.
    #[expect(clippy::cast_precision_loss, reason = "the result is a figure for people")]
    pub(crate) fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

fn to_count(partitions: u128) -> usize {
    usize::try_from(partitions).expect("a share is at most the number of partitions")
}

/// The spread of the copies over zones with these numbers of nodes that is as even as distinct nodes allow.
///
/// With `level` the smallest number of copies per zone for which there is room for all, each zone takes `level` or
/// `level - 1` copies, or one per node where it has fewer. No other spread touches more zones or puts fewer copies into
/// the fullest one. `replicas` is at most the number of nodes.
pub(crate) fn spread(zone_sizes: &[usize], replicas: usize) -> Vec<Spread> {
    let room = |level: usize| zone_sizes.iter().map(|size| level.min(*size)).sum::<usize>();
    let level = (1..replicas).find(|level| room(*level) >= replicas).unwrap_or(replicas);
    zone_sizes.iter().map(|size| Spread { low: level.saturating_sub(1).min(*size), high: level.min(*size) }).collect()
}

/// What each node is due of `partitions * replicas` copies.
///
/// In proportion to the weights; a node is due each partition once at most, and a zone between `low` and `high` copies
/// of each. Where such a limit binds, the others share what is left in proportion to their weights, so the largest
/// share per weight is as small as it can be (water-filling).
pub(crate) fn shares(nodes: &[Capacity], spread: &[Spread], partitions: usize, replicas: usize) -> Vec<Share> {
    let mut shares = vec![Share { numerator: 0, denominator: 1 }; nodes.len()];
    let mut open: Vec<usize> = (0..spread.len()).collect();
    let mut left = partitions * replicas;
    loop {
        let of_open: Vec<usize> = (0..nodes.len()).filter(|node| open.contains(&nodes[*node].zone)).collect();
        let denominator = fill(nodes, &of_open, left, partitions, &mut shares);
        let due = |zone: usize| -> u128 {
            of_open.iter().filter(|node| nodes[**node].zone == zone).map(|node| shares[*node].numerator).sum()
        };
        let bound = |copies: usize| (partitions * copies) as u128 * denominator;
        let excess: Vec<u128> = open.iter().map(|&z| due(z).saturating_sub(bound(spread[z].high))).collect();
        let deficit: Vec<u128> = open.iter().map(|&z| bound(spread[z].low).saturating_sub(due(z))).collect();
        let (too_much, too_little) = (excess.iter().sum::<u128>(), deficit.iter().sum::<u128>());
        if too_much == 0 && too_little == 0 {
            return shares;
        }
        // What the greater side gives back or takes raises or lowers the level for the rest, so that its own zones stay
        // at their bounds; of the other side's zones that is not known yet.
        let at_high = too_much >= too_little;
        let off = if at_high { excess } else { deficit };
        let fixed: Vec<usize> = open.iter().zip(off).filter(|(_, off)| *off > 0).map(|(zone, _)| *zone).collect();
        for zone in fixed {
            let total = partitions * if at_high { spread[zone].high } else { spread[zone].low };
            let of_zone: Vec<usize> = of_open.iter().copied().filter(|node| nodes[*node].zone == zone).collect();
            fill(nodes, &of_zone, total, partitions, &mut shares);
            left -= total;
            open.retain(|other| *other != zone);
        }
    }
}

/// Shares `total` among the `chosen` nodes by weight, at most `partitions` for each; answers their common denominator.
fn fill(nodes: &[Capacity], chosen: &[usize], total: usize, partitions: usize, shares: &mut [Share]) -> u128 {
    let (mut below, mut left) = (chosen.to_vec(), total as u128);
    let limit = partitions as u128;
    let denominator = loop {
        let weight: u128 = below.iter().map(|node| u128::from(nodes[*node].weight)).sum();
        let (full, rest): (Vec<_>, Vec<_>) =
            below.iter().copied().partition(|node| u128::from(nodes[*node].weight) * left >= limit * weight);
        if full.is_empty() || weight == 0 {
            break weight.max(1);
        }
        left -= limit * full.len() as u128;
        below = rest;
    };
    for node in chosen {
        shares[*node] = Share { numerator: limit * denominator, denominator };
    }
    for node in below {
        shares[node] = Share { numerator: u128::from(nodes[node].weight) * left, denominator };
    }
    denominator
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares_of(weights: &[u32], partitions: usize, replicas: usize) -> Vec<f64> {
        let nodes: Vec<_> = weights.iter().map(|weight| Capacity { zone: 0, weight: *weight }).collect();
        let spread = spread(&[weights.len()], replicas);
        shares(&nodes, &spread, partitions, replicas).into_iter().map(Share::as_f64).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        assert_eq!(shares_of(&[100, 100, 200, 400], 8, 1), [1.0, 1.0, 2.0, 4.0]);
    }

    #[test]
    fn a_node_that_is_too_large_holds_everything_once_and_the_others_share_the_rest() {
        assert_eq!(shares_of(&[1_000_000, 100, 300], 8, 2), [8.0, 2.0, 6.0]);
        // With the first full, the second is too large for what is left.
        assert_eq!(shares_of(&[1_000_000, 1000, 100, 300], 8, 3), [8.0, 8.0, 2.0, 6.0]);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let weights = [u32::MAX; 1000];
        assert!(shares_of(&weights, 1024, 255).iter().all(|share| (share - 261.12).abs() < 1e-9));
    }

    #[test]
    fn a_zone_holds_one_copy_of_each_partition_at_most_where_there_are_others() {
        let zones = [0, 0, 0, 1, 2];
        let nodes = zones.map(|zone| Capacity { zone, weight: 100 });
        let shares = shares(&nodes, &spread(&[3, 1, 1], 3), 9, 3);
        assert_eq!(shares.into_iter().map(Share::as_f64).collect::<Vec<_>>(), [3.0, 3.0, 3.0, 9.0, 9.0]);
    }

    #[test]
    fn a_share_is_rounded_both_ways() {
        let share = Share { numerator: 7, denominator: 2 };
        assert_eq!((share.floor(), share.ceil()), (3, 4));
        let whole = Share { numerator: 8, denominator: 2 };
        assert_eq!((whole.floor(), whole.ceil()), (4, 4));
    }

    /// The same water-filling by bisection: the share per weight that gives out all copies.
    fn shares_by_bisection(nodes: &[Capacity], spread: &[Spread], partitions: f64, copies: f64) -> Vec<f64> {
        let bisect = |total: f64, given: &dyn Fn(f64) -> f64| {
            let (mut low, mut high) = (0.0, 1e9);
            for _ in 0..200 {
                let middle = f64::midpoint(low, high);
                if given(middle) < total { low = middle } else { high = middle }
            }
            high
        };
        let natural = |zone: usize, level: f64| -> f64 {
            let of_zone = nodes.iter().filter(|node| node.zone == zone);
            of_zone.map(|node| (level * f64::from(node.weight)).min(partitions)).sum()
        };
        let bounds = |zone: usize| {
            let to_float = |copies: usize| f64::from(u32::try_from(copies).unwrap()) * partitions;
            (to_float(spread[zone].low), to_float(spread[zone].high))
        };
        let bounded = |zone: usize, level: f64| natural(zone, level).clamp(bounds(zone).0, bounds(zone).1);
        let level = bisect(copies, &|level| (0..spread.len()).map(|zone| bounded(zone, level)).sum());
        let share = |node: &Capacity| {
            let within = bisect(bounded(node.zone, level), &|level| natural(node.zone, level));
            (within * f64::from(node.weight)).min(partitions)
        };
        nodes.iter().map(share).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn shares_are_the_water_level(
            nodes in prop::collection::vec((0..4_usize, prop_oneof![Just(100), 1..4_u32, 1..3000_u32]), 1..12),
            replicas in 1..6_usize,
            partitions in 1..20_u32,
        ) {
            let mut names: Vec<usize> = nodes.iter().map(|(zone, _)| *zone).collect();
            names.sort_unstable();
            names.dedup();
            let number = |zone: usize| names.iter().position(|name| *name == zone).unwrap();
            let nodes: Vec<_> =
                nodes.iter().map(|&(zone, weight)| Capacity { zone: number(zone), weight }).collect();
            let size = |zone: usize| nodes.iter().filter(|node| node.zone == zone).count();
            let replicas = replicas.min(nodes.len());
            let spread = spread(&(0..names.len()).map(size).collect::<Vec<_>>(), replicas);
            let exact = shares(&nodes, &spread, partitions as usize, replicas);
            let copies = f64::from(partitions) * f64::from(u32::try_from(replicas).unwrap());
            let expected = shares_by_bisection(&nodes, &spread, f64::from(partitions), copies);
            for (exact, expected) in exact.iter().zip(&expected) {
                prop_assert!((exact.as_f64() - expected).abs() < 1e-6, "{nodes:?} {spread:?} {exact:?} {expected}");
            }
        }
    }
}
