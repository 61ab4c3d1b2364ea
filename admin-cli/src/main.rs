//! `tritonctl`: the operator's command line for TritonTube.

mod args;
mod captions;
mod cluster;
mod completions;
mod failure;
mod job;
mod measure;
mod metadata;
mod migration;
mod node;
mod node_ref;
mod output;
mod patience;
mod processing;
mod rebalance;
mod session;
mod table;
mod upload;
mod video;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    args::{Arguments, Command},
    failure::Failure,
    session::Session,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start(arguments: Arguments) -> Result<(), Failure> {
    if let Command::Completions { shell } = arguments.command {
        return completions::write(shell);
    }
    let session = Session::open(&arguments.connection)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("Cannot start: {error}.")))?;
    runtime.block_on(run(&session, arguments.command))
}

async fn run(session: &Session, command: Command) -> Result<(), Failure> {
    match command {
        Command::Node(command) => node::run(session, command).await,
        Command::Rebalance(command) => rebalance::run(session, command).await,
        Command::Video(command) => video::run(session, command).await,
        Command::Job(command) => job::run(session, command).await,
        Command::Cluster(command) => cluster::run(session, command).await,
        Command::Metadata(command) => metadata::run(session, command).await,
        Command::Completions { shell } => completions::write(shell),
    }
}
