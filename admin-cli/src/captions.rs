//! `tritonctl video captions`.

use std::path::PathBuf;

use clap::Subcommand;
use triton_api::{
    Language, Page, VideoId,
    caption::{CAPTION_BYTES_MAX, Caption, CaptionKind, CaptionQuery},
};

use crate::{
    failure::Failure,
    measure::{self, bytes},
    session::Session,
    table::{self, word},
};

#[derive(Debug, Subcommand)]
pub(crate) enum CaptionsCommand {
    /// List the captions of a video
    List {
        /// The video
        #[arg(value_parser = measure::id::<VideoId>)]
        id: VideoId,
    },
    /// Add captions, in place of those that were added in this language before
    Add {
        /// The video
        #[arg(value_parser = measure::id::<VideoId>)]
        id: VideoId,
        /// The language: a BCP 47 tag, such as en or pt-BR
        #[arg(value_parser = measure::id::<Language>)]
        language: Language,
        /// A `WebVTT` or `SubRip` file in UTF-8
        file: PathBuf,
        /// What a menu shows instead of the language's name
        #[arg(long)]
        label: Option<String>,
        /// They are for who does not hear: with sounds and speakers
        #[arg(long)]
        hard_of_hearing: bool,
    },
    /// Delete captions that were added
    Delete {
        /// The video
        #[arg(value_parser = measure::id::<VideoId>)]
        id: VideoId,
        /// The language
        #[arg(value_parser = measure::id::<Language>)]
        language: Language,
    },
}

pub(crate) async fn run(session: &Session, command: CaptionsCommand) -> Result<(), Failure> {
    match command {
        CaptionsCommand::List { id } => {
            let page = session.client.captions(id).await?;
            session.output.show(&page, |page| render(session, page))
        }
        CaptionsCommand::Add { id, language, file, label, hard_of_hearing } => {
            let content = read(&file).await?;
            let kind = hard_of_hearing.then_some(CaptionKind::Captions);
            let query = CaptionQuery { label, kind };
            let caption = session.client.put_captions(id, &language, &query, content.into()).await?;
            session
                .output
                .show(&caption, |caption| format!("Added {}: {}", caption.language, session.link(&caption.url)))
        }
        CaptionsCommand::Delete { id, language } => {
            session.client.delete_captions(id, &language).await?;
            session.output.note(&format!("Deleted the captions in {language}."));
            Ok(())
        }
    }
}

/// The whole file, which the server would refuse if it were long.
async fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    let cannot = |error| Failure::Usage(format!("Cannot read {}: {error}.", file.display()));
    let len_bytes = tokio::fs::metadata(file).await.map_err(cannot)?.len();
    if len_bytes > CAPTION_BYTES_MAX as u64 {
        let most = bytes(CAPTION_BYTES_MAX as u64);
        return Err(Failure::Usage(format!("{} is too long: captions have at most {most}.", file.display())));
    }
    tokio::fs::read(file).await.map_err(cannot)
}

fn render(session: &Session, page: &Page<Caption>) -> String {
    let mut rows = table::with_headings(&["LANGUAGE", "LABEL", "KIND", "ORIGIN", "ADDRESS"]);
    for caption in &page.items {
        let label = caption.label.clone().unwrap_or_default();
        let (kind, origin) = (word(&caption.kind), word(&caption.origin));
        table::add(&mut rows, [caption.language.to_string(), label, kind, origin, session.link(&caption.url)]);
    }
    table::render(&rows, "No captions.")
}
