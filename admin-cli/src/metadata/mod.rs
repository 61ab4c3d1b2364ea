//! `tritonctl metadata`.

mod export;
mod import;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use triton_api::{NodeUrl, metadata::ImportQuery};

use crate::{failure::Failure, measure, session::Session};

#[derive(Debug, Subcommand)]
pub(crate) enum MetadataCommand {
    /// Write all metadata to a file: titles, plans, jobs, and where the content is, but not the content itself
    Export {
        /// The file, which is replaced when the export is complete; `-` for standard output
        file: PathBuf,
    },
    /// Take over the metadata of another installation, whose storage nodes then join this one
    ///
    /// The file is checked before anything is sent. Nothing that is here is overwritten. An import that was interrupted goes
    /// on when it is run again.
    Import {
        /// The file; `-` for standard input
        file: PathBuf,
        /// Where a storage node of the other installation answers now, if not where the file says; for each such node
        #[arg(long = "node", value_name = "URL", value_parser = measure::id::<NodeUrl>)]
        nodes: Vec<NodeUrl>,
        /// Leave the other installation's storage nodes, and with them the content of its videos, out
        #[arg(long, conflicts_with = "nodes")]
        without_nodes: bool,
    },
}

pub(crate) async fn run(session: &Session, command: MetadataCommand) -> Result<(), Failure> {
    match command {
        MetadataCommand::Export { file } => export::run(session, &file).await,
        MetadataCommand::Import { file, nodes, without_nodes } => {
            import::run(session, &file, &ImportQuery::new(&nodes, without_nodes)).await
        }
    }
}

fn is_standard_stream(file: &Path) -> bool {
    file == Path::new("-")
}

/// Draws to standard error, and only if that is a terminal.
fn spinner(text: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{msg}: {human_pos} records, {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())).with_message(text.to_owned())
}
