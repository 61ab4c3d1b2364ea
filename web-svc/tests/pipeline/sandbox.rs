//! The cage, tried with programs that want out of it; each of them succeeds where nothing confines it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use web_svc::pipeline::Plan;
use web_svc::sandbox::{Hole, Policy, ProcessLimits, Sandbox, SandboxError, SandboxMode};

use crate::encoding::{Bench, LAUNCHER};
use crate::fixture::{make, numbered, words};
use crate::server::FileServer;

const LIMITS: ProcessLimits =
    ProcessLimits { memory_bytes_max: 4 << 30, file_bytes_max: 1 << 20, cpu_time_max: Duration::from_secs(60) };

fn policy() -> Policy {
    Policy { mode: SandboxMode::Off, limits: LIMITS, writes: true, connect_port: None }
}

async fn sandbox(mode: SandboxMode) -> Sandbox {
    let directory = tempfile::tempdir().unwrap();
    Sandbox::detect(mode, LAUNCHER.into(), directory.path().to_owned()).await.unwrap()
}

fn run_in(sandbox: &Sandbox, directory: &Path, policy: Policy, program: &str, arguments: &[&str]) -> Output {
    let arguments = arguments.iter().map(Into::into).collect();
    let (program, arguments) = sandbox.command(Path::new(program), policy, arguments);
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).env("LC_ALL", "C").output().unwrap()
}

/// Runs `script` with `argument` as `$1`: confined it must fail, with limits only it must succeed.
async fn assert_only_confinement_stops(policy: Policy, script: &str, argument: &str) -> Output {
    let own = tempfile::tempdir().unwrap();
    let arguments = ["-c", script, "sh", argument];
    let confined = run_in(&sandbox(SandboxMode::Required).await, own.path(), policy, "/bin/bash", &arguments);
    assert!(!confined.status.success(), "{script}: {confined:?}");
    let free = run_in(&sandbox(SandboxMode::Off).await, own.path(), policy, "/bin/bash", &arguments);
    assert!(free.status.success(), "{script} fails anyway: {free:?}");
    confined
}

#[tokio::test]
async fn a_confined_program_reads_no_file_of_others() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "secret").unwrap();
    let (own, path) = (tempfile::tempdir().unwrap(), outside.path().to_str().unwrap());
    let confined = run_in(&sandbox(SandboxMode::Required).await, own.path(), policy(), "cat", &[path]);
    assert!(!confined.status.success() && confined.stdout.is_empty(), "{confined:?}");
    assert!(String::from_utf8_lossy(&confined.stderr).contains("Permission denied"), "{confined:?}");
    let free = run_in(&sandbox(SandboxMode::Off).await, own.path(), policy(), "cat", &[path]);
    assert_eq!(free.stdout, b"secret", "{free:?}");
    assert_only_confinement_stops(policy(), "read -r line < /etc/passwd", "").await;
    assert_only_confinement_stops(policy(), "read -r line < /proc/self/environ || [ -n \"$line\" ]", "").await;
}

#[tokio::test]
async fn a_confined_program_writes_in_its_directory_only_if_at_all() {
    let (outside, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = outside.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (new, file) = (outside.path().join("new"), file.to_str().unwrap());
    assert_only_confinement_stops(policy(), "echo x > \"$1\"", new.to_str().unwrap()).await;
    assert_only_confinement_stops(policy(), "echo x >> \"$1\"", file).await;
    assert_only_confinement_stops(policy(), "exec chmod 0 \"$1\"", file).await;
    assert_only_confinement_stops(policy(), "exec touch -d 2001-01-01 \"$1\"", file).await;
    assert_only_confinement_stops(policy(), "exec ln -s /etc link", "").await;

    let confined = sandbox(SandboxMode::Required).await;
    let write = ["-c", "echo x > a && echo y >> a && read -r line < a && echo $line"];
    let written = run_in(&confined, own.path(), policy(), "/bin/bash", &write);
    assert_eq!(written.stdout, b"x\n", "{written:?}");
    let refused = run_in(&confined, own.path(), Policy { writes: false, ..policy() }, "/bin/bash", &write);
    assert!(!refused.status.success(), "{refused:?}");
}

/// A port on which somebody listens, and whether anybody has connected.
struct Trap(TcpListener);

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn was_sprung(&self) -> bool {
        self.0.accept().is_ok()
    }
}

#[tokio::test]
async fn a_confined_program_connects_to_its_source_only() {
    let (source, other, own) = (Trap::set(), Trap::set(), tempfile::tempdir().unwrap());
    let only_source = Policy { connect_port: Some(source.port()), ..policy() };
    let confined = sandbox(SandboxMode::Required).await;
    let connect = |port: u16| format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let run = |sandbox, port| run_in(sandbox, own.path(), only_source, "/bin/bash", &["-c", &connect(port)]);
    let refused = run(&confined, other.port());
    assert!(!refused.status.success() && !other.was_sprung(), "{refused:?}");
    assert!(run(&confined, source.port()).status.success() && source.was_sprung());
    assert!(run(&sandbox(SandboxMode::Off).await, other.port()).status.success() && other.was_sprung());
    // Datagrams, which Landlock does not know.
    assert_only_confinement_stops(policy(), "exec 3<>/dev/udp/127.0.0.1/$1", "9").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_gets_past_every_list_of_ours_still_reaches_nothing() {
    let bench = Bench::start().await;
    let other = FileServer::start(bench.directory.path()).await;
    make(&bench.path("victim.mkv"), &numbered("25", 10, "160:120"), "-c:v mjpeg");
    let victim = bench.path("victim.mkv");
    let source = bench.server.source("lure.txt");
    let arguments = words("-v error -show_streams -protocol_whitelist file,http,tcp -f concat -safe 0 -i");
    let arguments: Vec<&str> = arguments.into_iter().chain([source.url().as_str()]).collect();
    let only_source = Policy { connect_port: source.url().port(), writes: false, ..policy() };
    let probe = |sandbox| {
        let arguments = arguments.clone();
        tokio::task::block_in_place(move || run_in(&sandbox, Path::new("/"), only_source, "ffprobe", &arguments))
    };
    // The file first: afterwards the other server has been asked.
    for target in [format!("file://{}", victim.display()), other.url("victim.mkv")] {
        std::fs::write(bench.path("lure.txt"), format!("ffconcat version 1.0\nfile '{target}'\n")).unwrap();
        let confined = probe(sandbox(SandboxMode::Required).await);
        assert!(bench.server.asked().iter().any(|path| path == "lure.txt"), "the script was not read: {confined:?}");
        assert!(!confined.status.success() && other.asked().is_empty(), "{target}: {confined:?}");
        let free = probe(sandbox(SandboxMode::Off).await);
        assert!(free.status.success(), "nothing but the sandbox is to stop {target}: {free:?}");
        assert!(String::from_utf8_lossy(&free.stdout).contains("codec_name=mjpeg"), "{target}: {free:?}");
    }
}

#[tokio::test]
async fn a_confined_program_starts_no_other_and_cannot_leave_its_group() {
    assert_only_confinement_stops(policy(), "/bin/true && exit 0", "").await;
    assert_only_confinement_stops(policy(), "(exit 0)", "").await;
    assert_only_confinement_stops(policy(), "kill -0 $1", &std::process::id().to_string()).await;
    // Becoming another program is no way out either.
    assert_only_confinement_stops(policy(), "exec setsid --wait true", "").await;
}

#[tokio::test]
async fn limits_hold_in_every_mode() {
    for mode in [SandboxMode::Off, SandboxMode::Auto, SandboxMode::Required] {
        let (sandbox, own) = (sandbox(mode).await, tempfile::tempdir().unwrap());
        let shell = |limits, script: &str| {
            run_in(&sandbox, own.path(), Policy { limits, ..policy() }, "/bin/bash", &["-c", script])
        };
        let told = shell(LIMITS, "ulimit -v; ulimit -t; ulimit -c; ulimit -n; ulimit -u");
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.starts_with("4194304\n60\n0\n256\n"), "{mode:?}: {told}");
        assert!(told.lines().nth(4).unwrap().parse::<u64>().unwrap() <= 16_384, "{mode:?}: {told}");

        let flood = shell(LIMITS, "while :; do echo 0123456789012345678901234567890123456789; done > flood");
        assert!(!flood.status.success(), "{mode:?}");
        assert_eq!(std::fs::metadata(own.path().join("flood")).unwrap().len(), LIMITS.file_bytes_max, "{mode:?}");

        let hungry = ProcessLimits { memory_bytes_max: 100 << 20, ..LIMITS };
        let eaten = shell(hungry, "printf -v x %0200000000d 1; echo ${#x}");
        assert!(!eaten.status.success() && eaten.stdout.is_empty(), "{mode:?}");

        let (busy, began) = (ProcessLimits { cpu_time_max: Duration::from_secs(1), ..LIMITS }, Instant::now());
        assert!(!shell(busy, "while :; do :; done").status.success(), "{mode:?}");
        assert!(began.elapsed() < Duration::from_secs(60), "{mode:?}");
    }
}

/// Processes of this machine with `text` in their command line.
fn processes_with(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    processes.filter(|path| std::fs::read(path).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))).count()
}

#[tokio::test]
async fn a_cancelled_run_leaves_no_process() {
    let bench = Bench::start().await;
    let inputs = words("-f lavfi -i testsrc2=s=1920x1080:r=30:d=8").into_iter().map(str::to_owned).collect::<Vec<_>>();
    make(&bench.path("a.mp4"), &inputs, "-c:v libx264 -preset ultrafast");
    let plan = Plan::new(bench.probe("a.mp4").await.unwrap());
    let (source, cancel) = (bench.server.source("a.mp4"), CancellationToken::new());
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let progress = |_: f32| {
        seen.fetch_max(processes_with(source.url().as_str()), std::sync::atomic::Ordering::Relaxed);
        cancel.cancel();
    };
    let outcome = bench.pipeline.encode_chunk(&plan, 0, &source, bench.directory.path(), progress, &cancel).await;
    assert!(outcome.is_err());
    assert_eq!((seen.into_inner(), processes_with(source.url().as_str())), (1, 0));
}

/// A launcher under a kernel that does not know some system calls, as far as it can tell.
fn launcher_without(calls: &str, directory: &Path) -> std::path::PathBuf {
    assert!(Command::new("strace").arg("-V").output().is_ok(), "strace is not installed: apt-get install strace");
    let path = directory.join("launcher");
    let inject = format!("-e trace={calls} -e inject={calls}:error=ENOSYS");
    std::fs::write(&path, format!("#!/bin/sh\nexec strace -f -o /dev/null {inject} {LAUNCHER} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn what_the_kernel_lacks_is_found_out_by_trying() {
    let directory = tempfile::tempdir().unwrap();
    for (call, lacking) in [
        ("landlock_create_ruleset", vec![Hole::ReadsFiles, Hole::WritesFiles, Hole::Connects]),
        ("seccomp", vec![Hole::ChangesFiles, Hole::OtherSockets, Hole::StartsPrograms]),
    ] {
        let launcher = launcher_without(call, directory.path());
        let detect = |mode| Sandbox::detect(mode, launcher.clone(), directory.path().to_owned());
        let SandboxError::Holes(holes) = detect(SandboxMode::Required).await.unwrap_err() else {
            panic!("no holes without {call}")
        };
        assert_eq!(holes, lacking, "{call}");
        assert_eq!(detect(SandboxMode::Auto).await.unwrap().holes(), lacking, "{call}");
    }
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["launcher"]);
}
