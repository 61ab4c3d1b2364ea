//! The whole way of one source, as the jobs will take it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use triton_api::Generation;
use web_svc::pipeline::{
    AudioRendition, Encoded, Growth, INIT_FILE, Limits, Pipeline, PipelineError, Plan, Presentation, RenditionName,
    RenditionOutput, Settings, Source, SourceInfo, Track, VideoRendition, segment_file,
};
use web_svc::sandbox::{Sandbox, SandboxMode};

use crate::server::FileServer;

/// What confines ffmpeg, here as in the service.
pub(crate) const LAUNCHER: &str = env!("CARGO_BIN_EXE_web-svc");

/// A directory of sources behind a server, and a pipeline to read them.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) server: FileServer,
    pub(crate) pipeline: Pipeline,
}

/// All renditions of one source, written as a player would fetch them.
pub(crate) struct Published {
    pub(crate) root: PathBuf,
    pub(crate) plan: Plan,
    pub(crate) video: Vec<Track>,
    pub(crate) audio: Vec<Track>,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = FileServer::start(directory.path()).await;
        let launcher = Sandbox::detect(SandboxMode::Required, LAUNCHER.into(), directory.path().to_owned());
        let settings = Settings { threads: 1, limits, sandbox: launcher.await.unwrap(), ..Settings::default() };
        let pipeline = Pipeline::detect(settings).await.unwrap();
        Self { directory, server, pipeline }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn probe(&self, name: &str) -> Result<SourceInfo, PipelineError> {
        self.pipeline.probe(&self.server.source(name), &CancellationToken::new()).await
    }

    pub(crate) async fn encode_chunk(&self, plan: &Plan, index: u32, source: &Source) -> Encoded {
        let cancel = CancellationToken::new();
        self.pipeline.encode_chunk(plan, index, source, self.directory.path(), |_| (), &cancel).await.unwrap()
    }

    /// Probes and encodes everything of `name` into `{name}.out/`.
    pub(crate) async fn publish(&self, name: &str) -> Published {
        let info = self.probe(name).await.unwrap();
        self.publish_plan(name, Plan::new(info)).await
    }

    pub(crate) async fn publish_plan(&self, name: &str, plan: Plan) -> Published {
        let source = self.server.source(name);
        let root = self.path(&format!("{name}.out"));
        let mut video = Vec::new();
        for chunk in &plan.grid.chunks {
            let encoded = self.encode_chunk(&plan, chunk.index, &source).await;
            encoded.renditions.iter().for_each(|output| publish_output(&root, output, &mut video));
            if !plan.extra.is_empty() {
                let cancel = CancellationToken::new();
                let work = self.directory.path();
                let extra =
                    self.pipeline.encode_extra(&plan, chunk.index, &source, work, |_| (), &cancel).await.unwrap();
                extra.renditions.iter().for_each(|output| publish_output(&root, output, &mut video));
            }
        }
        Published { video, ..self.publish_sound(name, plan).await }
    }

    /// Encodes the sound alone.
    pub(crate) async fn publish_sound(&self, name: &str, plan: Plan) -> Published {
        let source = self.server.source(name);
        let root = self.path(&format!("{name}.out"));
        let mut audio = Vec::new();
        for position in 0..plan.audio.len() {
            let cancel = CancellationToken::new();
            let made = Mutex::new(&mut audio);
            let take = |output: RenditionOutput| {
                publish_output(&root, &output, &mut made.lock().unwrap());
                std::future::ready(Ok::<_, PipelineError>(())).boxed()
            };
            let work = self.directory.path();
            self.pipeline.encode_audio(&plan, position, &source, work, |_| (), take, &cancel).await.unwrap();
        }
        Published { root, plan, video: Vec::new(), audio }
    }
}

/// Copies one output below `{root}/1/` and adds it to the tracks.
fn publish_output(root: &Path, output: &RenditionOutput, tracks: &mut Vec<Track>) {
    let folder = root.join("1").join(output.rendition.as_str());
    std::fs::create_dir_all(&folder).unwrap();
    let init = folder.join(INIT_FILE);
    if init.exists() {
        output.check_init(&std::fs::read(&init).unwrap()).unwrap();
    } else {
        std::fs::write(&init, &output.init).unwrap();
    }
    for segment in &output.segments {
        let copied = std::fs::copy(&segment.path, folder.join(segment_file(segment.number))).unwrap();
        assert_eq!(copied, segment.bytes_len);
    }
    let part = Track::of(output);
    match tracks.iter_mut().find(|track| track.name == part.name) {
        Some(track) => track.segments.extend(part.segments),
        None => tracks.push(part),
    }
}

impl Published {
    /// Init segment and media segments of one rendition in one file.
    pub(crate) fn assembled(&self, track: &Track) -> String {
        let folder = self.root.join("1").join(track.name.as_str());
        let mut bytes = std::fs::read(folder.join(INIT_FILE)).unwrap();
        for segment in &track.segments {
            bytes.extend(std::fs::read(folder.join(segment_file(segment.number))).unwrap());
        }
        let path = folder.join("assembled.mp4");
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn presentation(&self, growth: Growth) -> Presentation {
        let rung = |name: &RenditionName| self.plan.pictures().find(|rung| rung.name == *name).unwrap();
        let video = self.video.iter().map(|track| VideoRendition {
            width: rung(&track.name).width,
            height: rung(&track.name).height,
            frame_rate: self.plan.info.video.frame_rate,
            track: track.clone(),
        });
        let audio = self.audio.iter().zip(&self.plan.audio).map(|(track, plan)| AudioRendition {
            track: track.clone(),
            language: plan.track.language.clone(),
            title: plan.track.title.clone(),
        });
        Presentation::new("1".parse::<Generation>().unwrap(), growth, video.collect(), audio.collect())
    }

    /// Writes both manifests and all playlists beside the segments.
    pub(crate) fn write_manifests(&self, presentation: &Presentation) {
        std::fs::write(self.root.join("manifest.mpd"), presentation.dash_manifest()).unwrap();
        std::fs::write(self.root.join("master.m3u8"), presentation.hls_master()).unwrap();
        for track in self.video.iter().chain(&self.audio) {
            let playlist = presentation.hls_media(&track.name).unwrap();
            std::fs::write(self.root.join("1").join(track.name.as_str()).join("index.m3u8"), playlist).unwrap();
        }
    }
}
