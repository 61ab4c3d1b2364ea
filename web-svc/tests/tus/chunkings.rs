//! However a file is cut, the original is the file.

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, TestRunner},
};
use triton_testkit::WebService;

use crate::{
    assert_download, assert_parts_only,
    client::{Tus, id_of},
    clip, service,
};

const LEN: usize = (17 << 20) + 4_321;
/// Each case sends 17 MiB through a real service.
const CASES: usize = 5;

/// How a chunk is sent.
#[derive(Debug, Clone, Copy)]
enum Sending {
    Whole,
    /// The connection breaks after this many bytes, and the client asks how far it came.
    Broken(usize),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_chunking_gives_the_same_original() {
    let (web, content) = (service().await, clip(LEN));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let chunk = (1..6_usize << 20, proptest::option::weighted(0.2, 0.0..1.0_f64));
    let chunkings = proptest::collection::vec(chunk, 1..9);
    for case in 0..CASES {
        let chunking = chunkings.new_tree(&mut runner).unwrap().current();
        let sendings: Vec<_> = chunking.iter().map(|(len, broken)| (*len, sending(*len, *broken))).collect();
        let id = upload(&web, &content, &sendings).await;
        assert_download(&web, &id, &content).await;
        assert_parts_only(&web, LEN).await;
        let deleted = reqwest::Client::new().delete(format!("{}/api/v1/videos/{id}", web.origin)).send().await.unwrap();
        assert_eq!(deleted.status(), 204, "case {case}: {sendings:?}");
        crate::assert_nothing_left(&web).await;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a cut somewhere"
)]
fn sending(len: usize, broken: Option<f64>) -> Sending {
    broken.map_or(Sending::Whole, |share| Sending::Broken((len as f64 * share) as usize))
}

async fn upload(web: &WebService, content: &[u8], sendings: &[(usize, Sending)]) -> String {
    let tus = Tus::new(web);
    let path = tus.create(content.len(), &[]).await;
    let mut at = 0;
    let rest = [(content.len(), Sending::Whole); 4];
    for (len, sending) in sendings.iter().copied().chain(rest) {
        let end = (at + len).min(content.len());
        match sending {
            Sending::Whole => {
                let answer = tus.patch(&path, at as u64, &content[at..end]).await;
                // The broken request before may have ended, or have begun, only now.
                assert!(matches!(answer.status, 204 | 409), "{sendings:?}: {answer:?}");
                at = usize::try_from(tus.head(&path).await.offset()).unwrap();
            }
            Sending::Broken(sent) => {
                let mut slow = tus.begin_patch(&path, at as u64, end - at).await;
                slow.send(&content[at..(at + sent).min(end)]).await;
                drop(slow);
                at = usize::try_from(tus.head(&path).await.offset()).unwrap();
            }
        }
    }
    assert_eq!(at, content.len(), "{sendings:?}");
    id_of(&path).to_owned()
}
