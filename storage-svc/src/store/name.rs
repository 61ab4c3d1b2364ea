//! File names of blobs: one name per key, readable by a person, flat within a partition's directory.

use triton_api::{BlobKey, PartitionId};

/// Keys up to this many bytes are their own file name; file systems end at 255.
const READABLE_BYTES_MAX: usize = 200;

/// The name of the file that holds the blob, or its tombstone.
///
/// `/` becomes `,`, which no key contains. A longer key becomes `~` and the BLAKE3 of the key in hexadecimal digits;
/// the file itself has the key then.
pub(crate) fn file_name(key: &BlobKey) -> String {
    if key.as_str().len() <= READABLE_BYTES_MAX {
        return key.as_str().replace('/', ",");
    }
    format!("~{}", blake3::hash(key.as_str().as_bytes()).to_hex())
}

/// The key that a file name stands for; `None` where the name is a hash, or none of ours.
pub(crate) fn key_of(file_name: &str) -> Option<BlobKey> {
    file_name.replace(',', "/").parse().ok()
}

/// The name of a partition's directory.
pub(crate) fn partition_dir_name(partition: PartitionId) -> String {
    format!("{:04}", partition.get())
}

/// The partition that a directory's name stands for; `None` where it is none of ours.
pub(crate) fn partition_of_dir(dir_name: &str) -> Option<PartitionId> {
    let partition = PartitionId::new(dir_name.parse().ok()?);
    (partition_dir_name(partition) == dir_name).then_some(partition)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> BlobKey {
        text.parse().unwrap()
    }

    #[test]
    fn long_keys_get_distinct_names_of_bounded_length() {
        let (one, other) = (key(&format!("{}a", "k/".repeat(200))), key(&format!("{}b", "k/".repeat(200))));
        assert_ne!(file_name(&one), file_name(&other));
        assert_eq!(file_name(&one).len(), 65);
        assert_eq!(key_of(&file_name(&one)), None);
    }

    #[test]
    fn names_that_look_alike_stay_apart() {
        let alike = ["a/b", "a.b", "a-b", "a_b", "a..b", "a/.b", "a./b", "ab", "A/b"];
        let names: std::collections::BTreeSet<_> = alike.iter().map(|text| file_name(&key(text))).collect();
        assert_eq!(names.len(), alike.len());
    }

    #[test]
    fn directory_of_a_partition_is_told_from_others() {
        assert_eq!(partition_of_dir("0042"), Some(PartitionId::new(42)));
        for foreign in ["42", "+042", "lost+found", "00042", ""] {
            assert_eq!(partition_of_dir(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn readable_names_stand_for_one_key_without_leaving_the_directory(
            text in "[A-Za-z0-9_.-]{0,20}[A-Za-z0-9](/[A-Za-z0-9_.-]{0,20}[A-Za-z0-9]){0,6}"
        ) {
            let name = file_name(&key(&text));
            prop_assert!(!name.contains('/') && name != "." && name != "..");
            prop_assert_eq!(key_of(&name), Some(key(&text)));
        }
    }
}
