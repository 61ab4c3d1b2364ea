//! Any sequence of operations against a model of what a store is.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Operation {
    Put { key: usize, content: usize },
    Delete { key: usize },
    Read { key: usize, start: u64, len: u64 },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..KEYS.len(), 0..LENGTHS.len()).prop_map(|(key, content)| Operation::Put { key, content }),
        1 => (0..KEYS.len()).prop_map(|key| Operation::Delete { key }),
        3 => (0..KEYS.len(), 0_u64..400_000, 1_u64..200_000)
            .prop_map(|(key, start, len)| Operation::Read { key, start, len }),
        1 => Just(Operation::Reopen),
    ]
}

const KEYS: [&str; 5] = ["a/b", "a.b", "a-b", "v/x/1/seg-1.m4s", "a"];
const LENGTHS: [usize; 5] = [0, 1, 65_536, 200_001, 399_999];

#[derive(Debug, Clone, PartialEq)]
enum State {
    Present(Bytes),
    Deleted,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn store_behaves_as_a_map_of_immutable_contents(operations in prop::collection::vec(operation(), 1..30)) {
        let contents: Vec<_> = LENGTHS.iter().map(|len| triton_testkit::content(*len as u64, *len)).collect();
        let (dir, mut store) = temporary();
        let mut model: HashMap<&str, State> = HashMap::new();
        for operation in operations {
            match operation {
                Operation::Put { key, content } => {
                    let (key, content) = (KEYS[key], &contents[content]);
                    let outcome = put(&store, key, content);
                    match model.get(key) {
                        None => prop_assert!(outcome.unwrap().fresh),
                        Some(State::Present(here)) if here == content => prop_assert!(!outcome.unwrap().fresh),
                        Some(State::Present(_)) => prop_assert!(matches!(outcome, Err(StoreError::Exists { .. })), "not refused"),
                        Some(State::Deleted) => prop_assert!(matches!(outcome, Err(StoreError::Gone(_))), "not refused"),
                    }
                    model.entry(key).or_insert_with(|| State::Present(content.clone()));
                }
                Operation::Delete { key } => {
                    store.delete(&super::key(KEYS[key]), None, None).unwrap();
                    model.insert(KEYS[key], State::Deleted);
                }
                Operation::Read { key, start, len } => match (store.open_blob(&super::key(KEYS[key])), model.get(KEYS[key])) {
                    (Ok(blob), Some(State::Present(content))) => {
                        let whole = content.len() as u64;
                        let part = start.min(whole)..(start + len).min(whole);
                        let read = blob.read(&part).unwrap();
                        let expected = content.slice(usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap());
                        prop_assert!(read == expected);
                    }
                    (Err(StoreError::NotFound(_)), None) | (Err(StoreError::Deleted(_)), Some(State::Deleted)) => {}
                    (found, expected) => prop_assert!(false, "{found:?} where the model has {}", expected.is_some()),
                },
                Operation::Reopen => {
                    drop(store);
                    store = open(dir.path());
                }
            }
            let present = model.values().filter_map(|state| match state {
                State::Present(content) => Some(content.len() as u64),
                State::Deleted => None,
            });
            let info = store.info().unwrap();
            prop_assert_eq!((info.blobs, info.used_bytes), (present.clone().count() as u64, present.sum()));
            prop_assert!(names_in(&dir.path().join("tmp")).is_empty());
        }
    }
}
