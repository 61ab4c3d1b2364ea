//! A set of partitions, small enough to be rewritten with each progress record.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use triton_api::{PartitionId, layout::PARTITIONS};

const BYTES: usize = (PARTITIONS as usize).div_ceil(8);

/// One bit per partition, written as hexadecimal digits: 256 characters whatever it contains.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionSet([u8; BYTES]);

impl PartitionSet {
    /// Adds a partition; one that does not exist is ignored.
    pub fn insert(&mut self, partition: PartitionId) {
        if let Some(byte) = self.0.get_mut(usize::from(partition.get() / 8)) {
            *byte |= 1 << (partition.get() % 8);
        }
    }

    /// Whether the partition is in the set.
    pub fn contains(&self, partition: PartitionId) -> bool {
        self.0.get(usize::from(partition.get() / 8)).is_some_and(|byte| byte & (1 << (partition.get() % 8)) != 0)
    }

    /// The number of partitions in the set.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for PartitionSet {
    fn default() -> Self {
        Self([0; BYTES])
    }
}

impl FromIterator<PartitionId> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = PartitionId>>(partitions: I) -> Self {
        let mut set = Self::default();
        for partition in partitions {
            set.insert(partition);
        }
        set
    }
}

impl fmt::Debug for PartitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = (0..PARTITIONS).filter(|number| self.contains(PartitionId::new(*number)));
        f.debug_set().entries(members).finish()
    }
}

impl Serialize for PartitionSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for PartitionSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; BYTES];
        hex::decode_to_slice(&text, &mut bytes).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_survives_its_record(numbers in proptest::collection::btree_set(0..PARTITIONS, 0..64)) {
            let set: PartitionSet = numbers.iter().copied().map(PartitionId::new).collect();
            let read: PartitionSet = serde_json::from_str(&serde_json::to_string(&set).unwrap()).unwrap();
            prop_assert_eq!(&read, &set);
            prop_assert_eq!(read.len() as usize, numbers.len());
            for number in 0..PARTITIONS {
                prop_assert_eq!(read.contains(PartitionId::new(number)), numbers.contains(&number));
            }
        }
    }

    #[test]
    fn a_partition_that_does_not_exist_is_in_no_set() {
        let mut set = PartitionSet::default();
        set.insert(PartitionId::new(PARTITIONS));
        assert!(set.is_empty() && !set.contains(PartitionId::new(PARTITIONS)));
    }
}
