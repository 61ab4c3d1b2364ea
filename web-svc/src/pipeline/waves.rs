//! Pictures that are drawn of sound, for files without any. Pure.

use super::source::VideoStream;

/// Width and height.
pub(super) const DRAWN_SIZE: [u32; 2] = [640, 360];
/// The waves of both channels.
const COLOURS: &str = "0x5B9BFF|0x5B9BFF";
/// So many of them a second: more flicker, and cost more. Each has a whole number of samples in each of 640 columns, and lasts
/// two pictures.
const RATE: &str = "25/2";
/// The picture of the trial that shows its sound.
const TRIAL_PICTURE: usize = 10;

/// Draws stereo sound.
fn waves([width, height]: [u32; 2]) -> String {
    format!("showwaves=size={width}x{height}:rate={RATE}:mode=cline:scale=sqrt:draw=full:colors={COLOURS}")
}

/// The beginning of a graph: pictures drawn of `sound`, the graph of a [`Feed`](super::feed::Feed), by an ffmpeg whose waves are
/// `late`.
pub(super) fn drawn_pictures(video: &VideoStream, sound: &str, late: usize) -> String {
    let end = video.frame_rate.seconds(video.frames);
    let waves = waves([video.width, video.height]);
    // The end is ours: that of a source with a fine clock reaches the filters in wrong units.
    format!(
        "{sound},aformat=channel_layouts=stereo,apad,atrim=end={end:.6},{waves},setpts=PTS-round({late}/({RATE}*TB))"
    )
}

/// Arguments of ffmpeg that draw two seconds in which one moment is loud, and answer the mean of each picture as a byte.
pub(super) fn trial() -> Vec<String> {
    let sound = "aevalsrc='between(t,0.82,0.86)|between(t,0.82,0.86)':s=48000:d=2".to_owned();
    let graph = format!("[0:0]{},fps={RATE}:start_time=0,scale=1:1:flags=area,format=gray", waves(DRAWN_SIZE));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let input = [words("-v error -nostdin -f lavfi -i"), vec![sound]].concat();
    [input, vec!["-filter_complex".to_owned(), graph], words("-frames:v 25 -f rawvideo -")].concat()
}

/// By how many pictures an ffmpeg that answered so to [`trial`] draws too late: version 5 by none, version 7 by four, as
/// it counts their time from another place.
pub(super) fn late(means: &[u8]) -> usize {
    let loudest = means.iter().enumerate().max_by_key(|(_, mean)| **mean);
    loudest.map_or(0, |(at, _)| at.saturating_sub(TRIAL_PICTURE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_late_waves_are_is_seen_by_the_loudest_picture() {
        assert_eq!(late(&[]), 0);
        for at in [10, 13] {
            let mut means = [1; 25];
            means[at] = 30;
            assert_eq!(late(&means), at - 10);
        }
    }
}
