//! The hedge budget: a token bucket that is filled by requests, not by time.

/// Allows a fixed share of extra requests, so that hedging cannot double the load of a cluster that is slow as a whole
/// (Dean and Barroso, "The Tail at Scale", 2013).
#[derive(Debug)]
pub(super) struct HedgeBudget {
    percent: u32,
    /// In hundredths of a hedge.
    tokens: u32,
    tokens_max: u32,
}

const HEDGE_COST: u32 = 100;

impl HedgeBudget {
    /// `percent` hedges per hundred questions, and `burst` at once.
    pub(super) fn new(percent: u32, burst: u32) -> Self {
        let tokens_max = burst.saturating_mul(HEDGE_COST);
        Self { percent, tokens: tokens_max, tokens_max }
    }

    /// A question is put.
    pub(super) fn earn(&mut self) {
        self.tokens = self.tokens.saturating_add(self.percent).min(self.tokens_max);
    }

    /// Answers whether a hedge may be sent now, and counts it.
    pub(super) fn spend(&mut self) -> bool {
        let enough = self.tokens >= HEDGE_COST;
        if enough {
            self.tokens -= HEDGE_COST;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_healthy_past_pays_for_a_burst_only() {
        let mut budget = HedgeBudget::new(5, 10);
        (0..100_000).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }

    proptest! {
        #[test]
        fn hedges_stay_within_their_share(percent in 0_u32..50, burst in 1_u32..20, asks in prop::collection::vec(any::<bool>(), 0..2_000)) {
            let mut budget = HedgeBudget::new(percent, burst);
            let (mut questions, mut hedges) = (0_u32, 0_u32);
            for slow in asks {
                budget.earn();
                questions += 1;
                hedges += u32::from(slow && budget.spend());
                prop_assert!(hedges * 100 <= questions * percent + burst * 100);
            }
        }
    }
}
