//! A real service as a child process.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How much of a log is shown when a test fails.
const LOG_TAIL_LINES: usize = 40;
/// How often a child is asked whether it has ended.
const EVERY: Duration = Duration::from_millis(10);

/// What to run: enough to start it again the same way.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    log: PathBuf,
}

impl Program {
    /// Our own binary `name` from the build that this test belongs to; its output is appended to the file `log`.
    ///
    /// # Panics
    /// Where it has not been built: cargo builds a package's own binaries for its tests, but not those of others.
    pub fn ours(name: &str, log: impl Into<PathBuf>) -> Self {
        let test = std::env::current_exe().unwrap();
        // target/debug/deps/test-1234, or target/debug/name for a program that is no test.
        let candidates = test.ancestors().skip(1).take(2).map(|dir| dir.join(name));
        let path = candidates.clone().find(|path| path.is_file()).unwrap_or_else(|| {
            panic!("{name} is not built ({:?}): run `cargo build -p {name}` first", candidates.collect::<Vec<_>>())
        });
        Self::at(path, log)
    }

    /// Any program, by its path, or by its name where it is to be found in `PATH`.
    pub fn at(path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new(), env: Vec::new(), log: log.into() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; variables of the test itself that begin with `TRITON_` are not passed on.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The same under another program, such as `strace`, with its arguments before ours.
    #[must_use]
    pub fn under<T: Into<OsString>>(mut self, wrapper: &str, wrapper_args: impl IntoIterator<Item = T>) -> Self {
        let mut args: Vec<OsString> = wrapper_args.into_iter().map(Into::into).collect();
        args.push(std::mem::replace(&mut self.path, wrapper.into()).into());
        args.append(&mut self.args);
        self.args = args;
        self
    }

    /// Starts it.
    pub fn start(self) -> Process {
        let child = self.spawn();
        Process { program: self, child }
    }

    /// Runs it to its end; for programs that are expected to refuse.
    pub fn run(self, deadline: Duration) -> (ExitStatus, String) {
        let mut process = self.start();
        let status = process.wait(deadline);
        (status, process.log())
    }

    fn spawn(&self) -> Child {
        let log = open_log(&self.log);
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRITON_")) {
            command.env_remove(name);
        }
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.path.display()))
    }
}

fn open_log(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// A child process, killed when dropped. When the test panics, the end of its log is printed.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, by itself or otherwise.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it as a power cut would, as far as a process can tell (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(deadline)
    }

    /// Stops its clock (SIGSTOP): it answers nothing, but its connections stay open.
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it if it still runs, and starts it again with the same arguments.
    pub fn restart(&mut self) {
        self.kill();
        self.child = self.program.spawn();
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < deadline, "{} has not ended", self.program.path.display());
            std::thread::sleep(EVERY);
        }
    }

    /// Waits until `url` answers 200.
    ///
    /// # Panics
    /// When it does not within `deadline`, or the process ends before.
    pub async fn wait_ready(&mut self, url: &str, deadline: Duration) {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        let began = Instant::now();
        while !http.get(url).send().await.is_ok_and(|response| response.status().is_success()) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status} before it was ready", self.program.path.display());
            }
            assert!(began.elapsed() < deadline, "{url} is not ready");
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.program.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default();
            #[expect(clippy::print_stderr, reason = "shown by the test harness")]
            {
                eprintln!("--- {} ---\n{}\n---", self.program.log.display(), tail.join("\n"));
            }
        }
    }
}
