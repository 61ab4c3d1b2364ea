//! Clips made by the real ffmpeg, and what it says of what plays.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Makes an H.264 and AAC clip of a test picture and a tone.
///
/// # Panics
/// When ffmpeg fails.
pub fn clip(dir: &Path, name: &str, seconds: u32, size: &str) -> PathBuf {
    encoded_clip(dir, name, seconds, size, "-preset ultrafast")
}

/// The same as cameras and recorders write it: a keyframe every two seconds, at a modest bit rate.
///
/// # Panics
/// When ffmpeg fails.
pub fn recorded_clip(dir: &Path, name: &str, seconds: u32, size: &str) -> PathBuf {
    encoded_clip(dir, name, seconds, size, "-preset veryfast -g 60 -maxrate 4M -bufsize 8M")
}

fn encoded_clip(dir: &Path, name: &str, seconds: u32, size: &str, options: &str) -> PathBuf {
    let file = dir.join(name);
    let picture = format!("testsrc2=size={size}:rate=30:duration={seconds}");
    let tone = format!("sine=frequency=440:duration={seconds}");
    let made = ffmpeg()
        .args(["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone])
        .args(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", "-y"])
        .args(options.split_whitespace())
        .arg(&file)
        .status()
        .unwrap();
    assert!(made.success(), "ffmpeg could not make a clip");
    file
}

/// Decodes everything behind a URL and returns what ffmpeg had to complain about.
///
/// # Panics
/// When ffmpeg cannot be run.
pub fn complaints(url: &str) -> String {
    let decoded = ffmpeg().args(["-i", url, "-f", "null", "-"]).output().unwrap();
    let mut text = String::from_utf8_lossy(&decoded.stderr).into_owned();
    if !decoded.status.success() {
        text.push_str("\nffmpeg failed");
    }
    text
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "warning"]);
    command
}
