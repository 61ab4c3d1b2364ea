//! `tritonctl video`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use triton_api::{
    Page, VideoId,
    video::{Video, VideoQuery, VideoSort},
};

use crate::{
    captions::{self, CaptionsCommand},
    failure::Failure,
    measure::{self, bytes, clock, percent},
    session::Session,
    table::{self, fields, word},
    upload,
};

#[derive(Debug, Subcommand)]
pub(crate) enum VideoCommand {
    /// List the videos
    List {
        /// Words to find in title and description
        #[arg(short, long, value_name = "WORDS")]
        query: Option<String>,
        /// The order
        #[arg(long, value_enum, default_value_t)]
        sort: Sort,
        /// Entries in a page, 1 to 100
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Every page instead of the first
        #[arg(long)]
        all: bool,
    },
    /// Show one video
    Show {
        /// The video
        #[arg(value_parser = measure::id::<VideoId>)]
        id: VideoId,
    },
    /// Upload files and wait until they play in every quality
    Upload {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The title, for one file [default: the name of the file]
        #[arg(long)]
        title: Option<String>,
        /// Return when the upload is done
        #[arg(long)]
        no_wait: bool,
    },
    /// Process a failed video again
    Retry {
        /// The video
        #[arg(value_parser = measure::id::<VideoId>)]
        id: VideoId,
    },
    /// List, add and delete captions
    #[command(subcommand)]
    Captions(CaptionsCommand),
    /// Delete a video for good
    Delete {
        /// The video
        #[arg(value_parser = measure::id::<VideoId>)]
        id: VideoId,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Sort {
    #[default]
    Newest,
    Oldest,
    Title,
}

impl From<Sort> for VideoSort {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Newest => Self::Newest,
            Sort::Oldest => Self::Oldest,
            Sort::Title => Self::Title,
        }
    }
}

pub(crate) async fn run(session: &Session, command: VideoCommand) -> Result<(), Failure> {
    match command {
        VideoCommand::List { query, sort, limit, all } => {
            let query = VideoQuery { q: query, cursor: None, limit: Some(limit), sort: Some(sort.into()), all: true };
            list(session, query, all).await
        }
        VideoCommand::Show { id } => {
            let video = session.client.video(id).await?;
            session.output.show(&video, |video| render(session, video))
        }
        VideoCommand::Upload { files, title, no_wait } => {
            upload::run(session, &files, title.as_deref(), !no_wait).await
        }
        VideoCommand::Retry { id } => {
            let video = session.client.retry(id).await?;
            session.output.show(&video, |video| render(session, video))
        }
        VideoCommand::Captions(command) => captions::run(session, command).await,
        VideoCommand::Delete { id } => {
            session.client.delete(id).await?;
            session.output.note(&format!("Deleted {id}."));
            Ok(())
        }
    }
}

async fn list(session: &Session, mut query: VideoQuery, all: bool) -> Result<(), Failure> {
    let mut page = session.client.videos(&query).await?;
    while all && let Some(cursor) = page.next_cursor.take() {
        query.cursor = Some(cursor);
        let next = session.client.videos(&query).await?;
        page.items.extend(next.items);
        page.next_cursor = next.next_cursor;
    }
    if page.next_cursor.is_some() {
        session.output.note("There are more: --all lists them.");
    }
    session.output.show(&page, render_page)
}

fn render_page(page: &Page<Video>) -> String {
    let mut rows = table::with_headings(&["ID", "TITLE", "STATE", ">LENGTH", ">SIZE", "QUALITY", "CREATED"]);
    for video in &page.items {
        table::add(
            &mut rows,
            [
                video.id.to_string(),
                video.title.clone(),
                state(video),
                video.duration_ms.map(clock).unwrap_or_default(),
                bytes(video.original_bytes),
                video.renditions.first().map(|rendition| rendition.name.clone()).unwrap_or_default(),
                video.created_at.strftime("%F %R").to_string(),
            ],
        );
    }
    table::render(&rows, "No videos.")
}

fn state(video: &Video) -> String {
    let done = video.progress > 0.0 && video.progress < 1.0;
    if done { format!("{} {}", word(&video.state), percent(video.progress)) } else { word(&video.state) }
}

/// One video with all that there is to know.
pub(crate) fn render(session: &Session, video: &Video) -> String {
    let size = video.width.zip(video.height).map(|(width, height)| format!("{width}x{height}"));
    let playback = |path: fn(&triton_api::video::Playback) -> &str| {
        video.playback.as_ref().map(|playback| session.link(path(playback))).unwrap_or_default()
    };
    let renditions: Vec<String> = video
        .renditions
        .iter()
        .map(|rendition| format!("{} ({} kb/s)", rendition.name, rendition.bitrate_bps / 1000))
        .collect();
    fields(&[
        ("Id", video.id.to_string()),
        ("Title", video.title.clone()),
        ("Description", video.description.clone()),
        ("State", state(video)),
        ("Reason", video.reason.clone().unwrap_or_default()),
        ("Length", video.duration_ms.map(clock).unwrap_or_default()),
        ("Picture", size.unwrap_or_default()),
        ("Original", bytes(video.original_bytes)),
        ("Qualities", renditions.join(", ")),
        ("Visibility", word(&video.visibility)),
        ("Created", video.created_at.strftime("%F %R UTC").to_string()),
        ("DASH", playback(|playback| &playback.dash)),
        ("HLS", playback(|playback| &playback.hls)),
    ])
}
