//! Sources whose every frame carries its own number, and the way back from pictures to numbers.

use std::path::Path;
use std::process::Command;

/// Bits of a frame number, drawn as black and white columns over their own negative.
const BITS: usize = 16;

/// Runs a program to its end; answers standard output and standard error.
pub(crate) fn run(program: &str, arguments: &[&str]) -> (Vec<u8>, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    (output.stdout, stderr)
}

pub(crate) fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The input options of a video of numbered frames.
pub(crate) fn numbered(rate: &str, frames: u32, size: &str) -> Vec<String> {
    let code = "geq=lum='if(eq(mod(floor(N/pow(2,X))+Y,2),1),235,16)':cb=128:cr=128";
    let graph = format!(
        "color=s={BITS}x2:r={rate},format=yuv420p,{code},scale={size}:flags=neighbor,setsar=1,trim=end_frame={frames}"
    );
    ["-f", "lavfi", "-i", &graph].map(str::to_owned).to_vec()
}

/// The input options of a sound that is silent but for 20 ms of a tone at every full second.
pub(crate) fn clicks(seconds: f64) -> Vec<String> {
    let graph = format!("aevalsrc='if(lt(mod(t,1),0.02),0.8*sin(2*PI*1000*t),0)':s=48000:d={seconds}");
    ["-f", "lavfi", "-i", &graph].map(str::to_owned).to_vec()
}

/// Makes `path` from inputs and output options.
pub(crate) fn make(path: &Path, inputs: &[String], options: &str) {
    let mut arguments = words("-v error -nostdin -y");
    arguments.extend(inputs.iter().map(String::as_str));
    arguments.extend(words(options));
    arguments.push(path.to_str().unwrap());
    run("ffmpeg", &arguments);
}

/// The input options of a file.
pub(crate) fn input(path: &Path) -> Vec<String> {
    ["-i", path.to_str().unwrap()].map(str::to_owned).to_vec()
}

/// The numbers that the frames of a video carry, in the order shown.
pub(crate) fn frame_numbers(video: &str) -> Vec<u32> {
    frame_numbers_through(video, "null")
}

/// The same for a video that a filter has to turn back first.
pub(crate) fn frame_numbers_through(video: &str, filter: &str) -> Vec<u32> {
    let graph = format!("{filter},scale={BITS}:2:flags=area,format=gray");
    let arguments = [
        "-v",
        "error",
        "-nostdin",
        "-i",
        video,
        "-map",
        "0:v:0",
        "-vf",
        &graph,
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-",
    ];
    let (pictures, stderr) = run("ffmpeg", &arguments);
    assert_eq!(stderr, "", "{video}");
    pictures.chunks_exact(BITS * 2).map(number).collect()
}

fn number(picture: &[u8]) -> u32 {
    let (code, negative) = picture.split_at(BITS);
    let bits = code.iter().zip(negative).enumerate().map(|(bit, (&plain, &inverse))| {
        assert!(plain.abs_diff(inverse) > 90, "bit {bit} cannot be read: {picture:?}");
        u32::from(plain > inverse) << bit
    });
    bits.sum()
}

/// When the clicks of a sound begin, in seconds of its own time stamps.
pub(crate) fn click_times(audio: &str) -> Vec<f64> {
    const RATE: f64 = 48_000.0;
    let filter = "aresample=48000:first_pts=0,aformat=sample_fmts=flt:channel_layouts=mono";
    let arguments =
        ["-v", "error", "-nostdin", "-copyts", "-i", audio, "-map", "0:a:0", "-af", filter, "-f", "f32le", "-"];
    let (bytes, stderr) = run("ffmpeg", &arguments);
    assert_eq!(stderr, "", "{audio}");
    let samples = bytes.chunks_exact(4).map(|sample| f32::from_le_bytes(sample.try_into().unwrap()));
    let (mut clicks, mut quiet_until) = (Vec::new(), 0);
    for (index, sample) in samples.enumerate() {
        if index >= quiet_until && sample.abs() > 0.2 {
            clicks.push(index as f64 / RATE);
            quiet_until = index + 24_000;
        }
    }
    clicks
}
