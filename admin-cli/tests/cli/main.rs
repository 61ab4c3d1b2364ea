//! `tritonctl` as a person runs it: the real program against a server that answers what the test says.
#![allow(clippy::unwrap_used, reason = "test code")]

mod captions;
mod connection;
mod lists;
mod metadata;
mod moves;
mod server;
mod uploads;

use std::process::Output;

use tokio::process::Command;

/// What a run of the program left.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {:?}", self.stdout))
    }
}

async fn run(server: &str, arguments: &[&str]) -> Run {
    run_with(server, arguments, &[]).await
}

async fn run_with(server: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tritonctl"));
    command.args(arguments).env("TRITON_SERVER", server).env_remove("TRITON_CLUSTER_SECRET_FILE");
    command.env_remove("TRITON_CLUSTER_SECRET").envs(environment.iter().copied()).kill_on_drop(true);
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    Run {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
