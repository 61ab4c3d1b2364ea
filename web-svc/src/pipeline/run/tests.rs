use super::*;

fn shell(script: &str) -> Invocation {
    Invocation {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        directory: std::env::temp_dir(),
        wall_time_max: Duration::from_secs(20),
        stall_time_max: Duration::from_secs(20),
        heartbeat: None,
        source: None,
    }
}

/// Whether a process still runs; a zombie does not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

async fn wait_until_gone(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while runs(pid) {
        assert!(Instant::now() < deadline, "process {pid} survived");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn output_and_last_words_are_returned() {
    let (output, stderr) = capture(&shell("echo out; echo err >&2"), &CancellationToken::new(), 100).await.unwrap();
    assert_eq!((output.as_slice(), stderr.as_str()), (b"out\n".as_slice(), "err"));
}

#[tokio::test]
async fn only_the_end_of_a_flood_of_messages_is_kept() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo message $i >&2; i=$((i+1)); done; exit 3";
    let error = capture(&shell(script), &CancellationToken::new(), 100).await.unwrap_err();
    let RunError::Failed { status, stderr } = error else { panic!("{error}") };
    assert_eq!(status.code(), Some(3));
    assert!(stderr.len() <= STDERR_BYTES_MAX && stderr.ends_with("message 1999"));
}

#[tokio::test]
async fn too_much_output_is_refused() {
    let error = capture(&shell("yes"), &CancellationToken::new(), 1000).await.unwrap_err();
    assert!(matches!(error, RunError::TooMuchOutput));
}

#[tokio::test]
async fn a_silent_program_is_stalled_unless_its_file_grows() {
    let directory = tempfile::tempdir().unwrap();
    let heartbeat = directory.path().join("beat");
    let script = format!("for i in 1 2 3 4 5 6 7 8; do echo x >> {}; sleep 0.2; done; sleep 9", heartbeat.display());
    let stall_time_max = Duration::from_millis(900);
    let started = Instant::now();
    let invocation = Invocation { stall_time_max, heartbeat: Some(heartbeat), ..shell(&script) };
    let error = capture(&invocation, &CancellationToken::new(), 100).await.unwrap_err();
    assert!(matches!(error, RunError::Stalled(_)), "{error}");
    assert!(started.elapsed() > Duration::from_millis(1900), "the growing file was not noticed");
}

#[tokio::test]
async fn the_wall_clock_ends_a_busy_program() {
    let invocation = Invocation { wall_time_max: Duration::from_millis(300), ..shell("while :; do echo x; done") };
    let error = capture(&invocation, &CancellationToken::new(), usize::MAX).await.unwrap_err();
    assert!(matches!(error, RunError::WallTime(_)), "{error}");
}

#[tokio::test]
async fn cancelling_kills_grandchildren_too() {
    let (cancel, mut seen) = (CancellationToken::new(), Vec::new());
    let trigger = cancel.clone();
    let mut sink = |piece: &[u8]| {
        seen.extend_from_slice(piece);
        if seen.ends_with(b"\n") {
            trigger.cancel();
        }
        Ok(true)
    };
    let error = run(&shell("sleep 600 & echo $!; wait"), &cancel, &mut sink).await.unwrap_err();
    assert!(matches!(error, RunError::Cancelled));
    wait_until_gone(String::from_utf8(seen).unwrap().trim()).await;
}

#[tokio::test]
async fn dropping_the_future_kills_grandchildren_too() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let mut sink = |piece: &[u8]| {
        if let Some(sender) = sender.take() {
            sender.send(String::from_utf8_lossy(piece).trim().to_owned()).unwrap();
        }
        Ok(true)
    };
    let (invocation, cancel) = (shell("sleep 600 & echo $!; wait"), CancellationToken::new());
    let pid = tokio::select! {
        ended = run(&invocation, &cancel, &mut sink) => panic!("{ended:?}"),
        pid = receiver => pid.unwrap(),
    };
    wait_until_gone(&pid).await;
}
