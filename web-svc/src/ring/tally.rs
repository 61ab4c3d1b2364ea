//! What follows from the answers of nodes that did not give the blob. Pure.

use triton_api::{BlobKey, NodeId};

use super::{error::RingError, targets::Home};

/// How many nodes' words go into an error.
const WORDS_MAX: usize = 8;

/// The answers so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Holders that should have the blob and have not, or a damaged copy: keys for repair, if another node has it.
    pub(super) lacking: Vec<NodeId>,
    /// Holders whose answer is not known.
    holders_unknown: usize,
    strangers_unknown: usize,
    asked: usize,
    words: Vec<String>,
}

impl Tally {
    /// The node said that it does not have the blob.
    pub(super) fn absent(&mut self, node: NodeId, home: Home) {
        self.asked += 1;
        if home == Home::Settled {
            self.lacking.push(node);
        }
    }

    /// The node did not say whether it has the blob.
    pub(super) fn unknown(&mut self, node: NodeId, home: Home, why: &str) {
        self.asked += 1;
        match home {
            Home::Stranger => self.strangers_unknown += 1,
            Home::Settled | Home::Next | Home::Current => self.holders_unknown += 1,
        }
        if self.words.len() < WORDS_MAX {
            self.words.push(format!("node {node}: {why}"));
        }
    }

    /// The node has a copy that it cannot give.
    pub(super) fn damaged(&mut self, node: NodeId, home: Home, why: &str) {
        self.unknown(node, home, why);
        if home != Home::Stranger {
            self.lacking.push(node);
        }
    }

    /// The conclusion when nobody is left to ask.
    ///
    /// A write is acknowledged only with a copy on a holder, so where all holders say 404 the blob is absent. Where the
    /// layout has given a holder up, that copy may have been there and the others on strangers: then they all must speak.
    pub(super) fn conclude(self, key: &BlobKey, given_up: usize) -> RingError {
        let unknown = self.holders_unknown > 0 || (given_up > 0 && self.strangers_unknown > 0);
        if unknown || self.asked == 0 {
            let detail = if self.asked == 0 { "no node may be asked".to_owned() } else { self.words.join("; ") };
            return RingError::Unavailable { operation: "read", key: key.clone(), detail };
        }
        RingError::NotFound { key: key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn absent_needs_the_word_of_every_holder(
            answers in prop::collection::vec((0_u8..4, any::<bool>()), 0..10),
            given_up in 0_usize..2,
        ) {
            let key: BlobKey = "a/b".parse().unwrap();
            let mut tally = Tally::default();
            let (mut holder_unknown, mut stranger_unknown) = (false, false);
            for (home, answered) in &answers {
                let home = [Home::Settled, Home::Next, Home::Current, Home::Stranger][usize::from(*home)];
                if *answered {
                    tally.absent(NodeId::from_u128(1), home);
                } else {
                    tally.unknown(NodeId::from_u128(1), home, "refused");
                    holder_unknown |= home != Home::Stranger;
                    stranger_unknown |= home == Home::Stranger;
                }
            }
            let unsure = holder_unknown || (given_up > 0 && stranger_unknown);
            prop_assert_eq!(tally.conclude(&key, given_up).is_absent(), !unsure && !answers.is_empty());
        }
    }
}
