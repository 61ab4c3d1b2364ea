//! Development chores: `cargo xtask openapi [--check]`.

mod openapi;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Write the services' OpenAPI documents to `openapi/`
    Openapi {
        /// Write nothing; fail where a document is not what the code says
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().chore {
        Chore::Openapi { check: false } => openapi::write()?,
        Chore::Openapi { check: true } => openapi::check()?,
    }
    Ok(ExitCode::SUCCESS)
}
