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
