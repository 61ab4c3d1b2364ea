//! Where programs cannot be confined, a service that has to confine them does not start.

use std::time::Duration;

use triton_testkit::{Program, WebService, free_port};

const START_DEADLINE: Duration = Duration::from_secs(60);

/// A kernel without Landlock, as far as the service and what it starts can tell.
fn without_landlock(program: Program) -> Program {
    let call = "landlock_create_ruleset";
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error=EOPNOTSUPP"));
    // A grandchild (`-D`), so that the service itself is our child and dies with the test.
    program.under("strace", ["-D", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn required_refuses_to_start_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, node) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let program = Program::ours("web-svc", dir.path().join("log"))
        .args(["--sandbox", "required", "--listen", &listen, "--node-listen", &node, "--data-dir"])
        .arg(dir.path().join("data"));
    let (status, log) = without_landlock(program).run(START_DEADLINE);
    assert!(!status.success(), "{log}");
    for words in ["--sandbox (TRITON_SANDBOX)", "read files of the service", "connect to any TCP port", "Linux 6.7"] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_starts_and_warns_once() {
    let web = WebService::start_with(&[], without_landlock).await;
    let log = web.process.log();
    assert_eq!(log.matches("less confined than they should be").count(), 1, "{log}");
    assert!(log.contains("read files of the service"), "{log}");
}
