//! The filter graphs: which frames of a source become which pictures. Pure text.

use std::fmt::Write;

use super::ladder::Rung;
use super::source::{Colour, SourceInfo, VideoStream};
use super::storyboard::Storyboard;

/// The file, in ffmpeg's working directory, that lists every frame on the output's clock before the window is cut out.
pub(super) const FRAME_LIST: &str = "frames.txt";

/// Frames of the output, counted from the start of the video: from `start` to before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The graph that turns the source into the pictures of one window for every rung, labelled `v0`, `v1` and so on.
///
/// `pictures` is how the graph begins: [`read_pictures`] or [`drawn_pictures`](super::waves::drawn_pictures).
///
/// The recipe: put time 0 on the first picture, resample to the constant rate (whose time stamps are frame numbers), cut out the
/// window by those numbers, and start it at 0. If `from_start`, nothing was sought, and a hole before the first picture is filled.
pub(super) fn video_graph(
    pictures: String,
    video: &VideoStream,
    rungs: &[Rung],
    window: Window,
    from_start: bool,
    tone_mapping: bool,
) -> String {
    let mut graph = pictures;
    push(
        &mut graph,
        format_args!(",fps={}:round=near{}", video.frame_rate, if from_start { ":start_time=0" } else { "" }),
    );
    push(&mut graph, format_args!(",metadata=mode=add:key=n:value=1,metadata=mode=print:file={FRAME_LIST}:direct=1"));
    push(&mut graph, format_args!(",trim=start_pts={}:end_pts={},setpts=PTS-STARTPTS", window.start, window.end));
    let matrix = push_standard_range(&mut graph, video.colour, tone_mapping);
    let parents = parents(rungs);
    push_branches(&mut graph, None, &parents);
    for (index, (rung, parent)) in rungs.iter().zip(&parents).enumerate() {
        let matrix = if parent.is_some() { "bt709" } else { matrix };
        push(
            &mut graph,
            format_args!(
                ";[s{index}]scale={}:{}:in_color_matrix={matrix}:out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=1,\
                 setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv",
                rung.width, rung.height
            ),
        );
        push_branches(&mut graph, Some(index), &parents);
    }
    graph
}

/// The beginning of a graph: whole pictures of one size, time 0 on the first.
pub(super) fn read_pictures(video: &VideoStream) -> String {
    let VideoStream { index, start, .. } = video;
    // Broadcasts and calls change their size in the middle; there is nothing to scale otherwise.
    let size = video.read_size.map(|[width, height]| format!(",scale={width}:{height}")).unwrap_or_default();
    let deinterlaced = if video.interlaced { ",bwdif=mode=send_frame:deint=interlaced" } else { "" };
    format!("[0:{index}]setpts=PTS-({}){size}{deinterlaced}", start.ticks)
}

/// The rung that each rung is scaled from, or `None` for the source: the smallest that has half as many lines again, which costs
/// half of scaling the source for each of them and cannot be told from it (SSIM differs in the fourth place).
fn parents(rungs: &[Rung]) -> Vec<Option<usize>> {
    let is_larger = |large: &Rung, small: &Rung| large.height * 2 >= small.height * 3;
    let parent = |(index, rung)| rungs.iter().take(index).rposition(|other| is_larger(other, rung));
    rungs.iter().enumerate().map(parent).collect()
}

/// Ends a chain that goes on to the output of rung `from`, if it is one, and to every rung that is scaled from it.
fn push_branches(graph: &mut String, from: Option<usize>, parents: &[Option<usize>]) {
    let children: Vec<usize> = (0..parents.len()).filter(|&index| parents.get(index) == Some(&from)).collect();
    let branches = children.len() + usize::from(from.is_some());
    if branches > 1 {
        push(graph, format_args!(",split={branches}"));
    }
    if let Some(index) = from {
        push(graph, format_args!("[v{index}]"));
    }
    for child in children {
        push(graph, format_args!("[s{child}]"));
    }
}

/// The graph of a single picture of `width` x `height` from wherever reading starts, labelled `v0`: `choose` picks it.
///
/// JPEG wants full range and the matrix of BT.601.
pub(super) fn still_graph(
    pictures: String,
    video: &VideoStream,
    width: u32,
    height: u32,
    choose: &str,
    measure: &str,
    tone_mapping: bool,
) -> String {
    let mut graph = pictures;
    push(&mut graph, format_args!(",{choose}"));
    let matrix = push_standard_range(&mut graph, video.colour, tone_mapping);
    push(
        &mut graph,
        format_args!(
            ",scale={width}:{height}:in_color_matrix={matrix}:out_color_matrix=bt601:out_range=pc,format=yuvj420p,setsar=1{measure}[v0]"
        ),
    );
    graph
}

/// The graph of a storyboard's sprite, labelled `v0`, out of a rendition of ours. Of each interval the picture at its beginning is
/// taken, so the segments between may be missing.
pub(super) fn tiles_graph(board: &Storyboard) -> String {
    let Storyboard { tiles, columns, width, height, interval_ms, .. } = *board;
    format!(
        "[0:v]fps=1000/{interval_ms}:round=up:start_time=0,\
         scale={width}:{height}:in_color_matrix=bt709:out_color_matrix=bt601:out_range=pc,format=yuvj420p,setsar=1,\
         tile={columns}x{}[v0]",
        tiles.div_ceil(columns)
    )
}

/// Brings high dynamic range down to the standard one where the filters are there; answers the matrix of what comes out.
fn push_standard_range(graph: &mut String, colour: Colour, tone_mapping: bool) -> &'static str {
    let transfer = match colour {
        Colour::Bt601 => return "bt601",
        Colour::Bt709 => return "bt709",
        Colour::Bt2020 => return "bt2020",
        Colour::Pq => "smpte2084",
        Colour::Hlg => "arib-std-b67",
    };
    if !tone_mapping {
        return "bt2020";
    }
    push(
        graph,
        format_args!(
            ",zscale=tin={transfer}:pin=bt2020:min=bt2020nc:rin=tv:t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,\
             tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
        ),
    );
    "bt709"
}

/// The graph of one audio track as stereo at 48 kHz, labelled `a0`, that ends with the picture; `sound` is the graph of a
/// [`Feed`](super::feed::Feed).
pub(super) fn audio_graph(info: &SourceInfo, sound: &str) -> String {
    let end = info.video.frame_rate.seconds(info.video.frames);
    format!("{sound},aformat=sample_fmts=fltp:sample_rates=48000:channel_layouts=stereo,apad,atrim=end={end:.6}[a0]")
}

fn push(graph: &mut String, text: std::fmt::Arguments<'_>) {
    graph.write_fmt(text).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{FrameRate, ladder};

    fn sizes_and_parents(width: u32, height: u32, copied: usize) -> Vec<(u32, Option<u32>)> {
        let rungs = ladder(width, height, FrameRate::ALL[2]).split_off(copied);
        let lines = |rung: &Rung| rung.width.min(rung.height);
        rungs
            .iter()
            .zip(parents(&rungs))
            .map(|(rung, parent)| (lines(rung), parent.map(|at| lines(&rungs[at]))))
            .collect()
    }

    #[test]
    fn a_rung_is_scaled_from_the_smallest_that_has_enough_lines() {
        let of_1080 = [(1080, None), (720, Some(1080)), (480, Some(720)), (360, Some(720)), (240, Some(360))];
        assert_eq!(sizes_and_parents(1920, 1080, 0), of_1080);
        assert_eq!(sizes_and_parents(1080, 1920, 0), of_1080);
        let copied = [(720, None), (480, Some(720)), (360, Some(720)), (240, Some(360))];
        assert_eq!(sizes_and_parents(1920, 1080, 1), copied);
        assert_eq!(sizes_and_parents(2560, 1440, 0)[..3], [(1440, None), (1080, None), (720, Some(1080))]);
    }

    #[test]
    fn every_chain_ends_in_the_rungs_that_follow_it() {
        let chain = |from| {
            let mut graph = String::new();
            push_branches(&mut graph, from, &[None, Some(0), Some(1), None]);
            graph
        };
        assert_eq!(chain(None), ",split=2[s0][s3]");
        assert_eq!(chain(Some(0)), ",split=2[v0][s1]");
        assert_eq!(chain(Some(2)), "[v2]");
    }
}
