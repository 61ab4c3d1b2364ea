//! What a file is, decided from its first bytes by us and not by ffmpeg.
//!
//! ffmpeg guesses among 300 formats, some of which (playlists, scripts) read other files. So the demuxer is chosen here
//! and forced with `-f`; whatever is not listed is refused before ffmpeg sees a byte.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::SourceFault;

/// How many of a file's first bytes [`sniff`] wants to see.
pub const SNIFF_BYTES: usize = 64 * 1024;

/// The containers that are accepted, each with one of ffmpeg's demuxers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Demuxer {
    /// MP4, `QuickTime`, 3GP.
    Mov,
    /// Matroska and `WebM`.
    Matroska,
    /// MPEG transport stream.
    MpegTs,
    /// MPEG program stream (VOB).
    MpegPs,
    /// Audio Video Interleave.
    Avi,
    /// Flash video.
    Flv,
    /// Ogg.
    Ogg,
    /// Windows Media.
    Asf,
    /// MPEG audio, layer III.
    Mp3,
    /// Waveform audio.
    Wav,
    /// Free Lossless Audio Codec.
    Flac,
    /// AAC in ADTS.
    Aac,
}

impl Demuxer {
    /// The name for ffmpeg's `-f`.
    pub fn ffmpeg_name(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::MpegTs => "mpegts",
            Self::MpegPs => "mpeg",
            Self::Avi => "avi",
            Self::Flv => "flv",
            Self::Ogg => "ogg",
            Self::Asf => "asf",
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Aac => "aac",
        }
    }

    /// The names for ffmpeg's `-format_whitelist`: every name that the demuxer goes by.
    pub fn whitelist(self) -> &'static str {
        match self {
            Self::Mov => "mov,mp4,m4a,3gp,3g2,mj2",
            Self::Matroska => "matroska,webm",
            other => other.ffmpeg_name(),
        }
    }

    /// How far before a chunk the first attempt to read it begins, in seconds.
    ///
    /// Containers with an index seek to the keyframe before that time. The others land anywhere, and decoding starts at the
    /// next keyframe, so they need the length of a long group of pictures.
    pub(super) fn preroll_seconds(self) -> f64 {
        match self {
            Self::Mov | Self::Matroska | Self::Avi | Self::Mp3 | Self::Wav | Self::Flac | Self::Aac => 2.0,
            Self::MpegTs | Self::MpegPs | Self::Flv | Self::Ogg | Self::Asf => 12.0,
        }
    }
}

impl fmt::Display for Demuxer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mov => "an MP4 or QuickTime video",
            Self::Matroska => "a Matroska or WebM video",
            Self::MpegTs => "an MPEG transport stream",
            Self::MpegPs => "an MPEG program stream",
            Self::Avi => "an AVI video",
            Self::Flv => "a Flash video",
            Self::Ogg => "an Ogg video",
            Self::Asf => "a Windows Media video",
            Self::Mp3 => "an MP3 file",
            Self::Wav => "a WAV file",
            Self::Flac => "a FLAC file",
            Self::Aac => "an AAC file",
        })
    }
}

/// The demuxer for a file that begins with `head` (up to [`SNIFF_BYTES`]), or what the file is instead.
pub fn sniff(head: &[u8]) -> Result<Demuxer, SourceFault> {
    if head.is_empty() {
        return Err(SourceFault::Empty);
    }
    container(head).ok_or_else(|| SourceFault::NotAVideo(known_stranger(head)))
}

fn container(head: &[u8]) -> Option<Demuxer> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if is_iso_media(head) {
        return Some(Demuxer::Mov);
    }
    if at(0, &[0x1A, 0x45, 0xDF, 0xA3]) {
        return Some(Demuxer::Matroska);
    }
    if at(0, b"RIFF") && (at(8, b"AVI ") || at(8, b"AVIX")) {
        return Some(Demuxer::Avi);
    }
    if at(0, b"FLV\x01") {
        return Some(Demuxer::Flv);
    }
    if at(0, b"OggS") {
        return Some(Demuxer::Ogg);
    }
    if at(0, &[0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11]) {
        return Some(Demuxer::Asf);
    }
    if at(0, &[0, 0, 1, 0xBA]) {
        return Some(Demuxer::MpegPs);
    }
    if is_transport_stream(head) {
        return Some(Demuxer::MpegTs);
    }
    sound(head)
}

/// The demuxer of a file that holds nothing but sound.
fn sound(head: &[u8]) -> Option<Demuxer> {
    let behind = behind_tags(head);
    match behind {
        // The kind of the first block is no letter: no text is taken for this.
        [b'f', b'L', b'a', b'C', 0 | 0x80, ..] => Some(Demuxer::Flac),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Demuxer::Wav),
        // A frame's header: its layer, and neither a bit rate nor a sampling rate that is reserved.
        [0xFF, layer, rates, ..] if layer & 0xE6 == 0xE2 && rates & 0xF0 != 0xF0 && rates & 0x0C != 0x0C => {
            Some(Demuxer::Mp3)
        }
        [0xFF, layer, ..] if layer & 0xF6 == 0xF0 => Some(Demuxer::Aac),
        // What is tagged is mostly MP3, which may begin anywhere behind, also where `head` has ended.
        _ => (behind.len() < head.len()).then_some(Demuxer::Mp3),
    }
}

/// What follows the `ID3v2` tags with which any kind of sound may begin, as ffmpeg skips them: none of it if they fill `head`.
/// Their layout is that of <https://id3.org/id3v2.4.0-structure>.
fn behind_tags(mut head: &[u8]) -> &[u8] {
    // The version of the tag is no letter: no text is taken for one.
    while let [b'I', b'D', b'3', 2..=4, header @ ..] = head {
        let tag_bytes = match header {
            [_, flags, len @ ..] if len.len() >= 4 => {
                let len_bytes = len[..4].iter().fold(0, |bits, byte| bits << 7 | usize::from(byte & 0x7F));
                let footer_bytes = if flags & 0x10 == 0 { 0 } else { 10 };
                10 + len_bytes + footer_bytes
            }
            _ => head.len(),
        };
        head = head.get(tag_bytes..).unwrap_or_default();
    }
    head
}

/// Whether the file starts with a box of the ISO base media format or of `QuickTime`.
fn is_iso_media(head: &[u8]) -> bool {
    let Some((size, kind)) = head.first_chunk::<8>().map(|header| header.split_at(4)) else { return false };
    let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]);
    let plausible = size == 1 || size >= 8 || (size == 0 && kind == b"mdat");
    // Brands of still pictures use the same boxes.
    let still = kind == b"ftyp"
        && head
            .get(8..12)
            .is_some_and(|brand| [b"heic", b"heix", b"mif1", b"avif"].contains(&brand.try_into().unwrap_or(b"    ")));
    plausible
        && !still
        && [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"].iter().any(|known| kind == *known)
}

/// Whether sync bytes repeat every 188 bytes (or 192, with the timestamps of Blu-ray), from any offset in the first packet.
fn is_transport_stream(head: &[u8]) -> bool {
    const REPEATS: usize = 5;
    [188_usize, 192].into_iter().any(|packet| {
        (0..packet).any(|start| {
            let packets = head.len().saturating_sub(start).div_ceil(packet);
            let wanted = packets.min(REPEATS);
            wanted >= 3 && (0..wanted).all(|index| head.get(start + index * packet) == Some(&0x47))
        })
    })
}

/// A sentence about a file that is no supported video.
fn known_stranger(head: &[u8]) -> &'static str {
    const SIGNATURES: [(&[u8], &str); 15] = [
        (b"#EXTM3U", "This is an HLS playlist, not a video file."),
        (b"ffconcat", "This is an ffconcat script, not a video file."),
        (b"v=0", "This is an SDP session description, not a video file."),
        (b"RIFF", "This is a RIFF file that holds neither video nor sound."),
        (b"\x89PNG", "This is a PNG picture, not a video file."),
        (&[0xFF, 0xD8, 0xFF], "This is a JPEG picture, not a video file."),
        (b"GIF8", "This is a GIF picture; only video files are supported."),
        (b"%PDF", "This is a PDF document, not a video file."),
        (b"PK\x03\x04", "This is a ZIP archive, not a video file."),
        (&[0x1F, 0x8B], "This is a gzip archive, not a video file."),
        (b"7z\xBC\xAF", "This is a 7-Zip archive, not a video file."),
        (b"Rar!", "This is a RAR archive, not a video file."),
        (b"\x7FELF", "This is a program, not a video file."),
        (b"MZ", "This is a program, not a video file."),
        (&[0, 0, 1, 0xB3], "This is a bare MPEG video stream without a container."),
    ];
    let text = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(head).trim_ascii_start();
    if let Some((_, reason)) = SIGNATURES.iter().find(|(magic, _)| head.starts_with(magic) || text.starts_with(magic)) {
        return reason;
    }
    let contains = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    if text.starts_with(b"<") {
        if contains(b"<MPD") {
            return "This is a DASH manifest, not a video file.";
        }
        return if contains(b"<svg") {
            "This is an SVG picture, not a video file."
        } else {
            "This is an XML or HTML document, not a video file."
        };
    }
    if head.iter().all(|&byte| byte == 0) {
        return "The file holds only zero bytes.";
    }
    if is_text(head) {
        return "This is a text file, not a video file.";
    }
    "This is not a video file of a supported kind (MP4, QuickTime, WebM, Matroska, MPEG-TS, MPEG-PS, AVI, FLV, Ogg or ASF), nor sound (MP3, WAV, FLAC or AAC)."
}

fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.valid_up_to() + 4 > head.len(),
    };
    valid && head.iter().all(|&byte| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C | 0x1B))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(head: &[u8]) -> String {
        sniff(head).unwrap_err().to_string()
    }

    #[test]
    fn known_containers_get_their_demuxer() {
        assert_eq!(sniff(b"\0\0\0\x20ftypisom"), Ok(Demuxer::Mov));
        assert_eq!(sniff(b"\0\0\0\0mdat"), Ok(Demuxer::Mov));
        assert_eq!(sniff(&[0x1A, 0x45, 0xDF, 0xA3, 0x01]), Ok(Demuxer::Matroska));
        assert_eq!(sniff(b"RIFF\0\0\0\0AVI LIST"), Ok(Demuxer::Avi));
        let mut packets = vec![0_u8; 188 * 5];
        packets.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        assert_eq!(sniff(&packets), Ok(Demuxer::MpegTs));
        assert_eq!(sniff(&packets[100..]), Ok(Demuxer::MpegTs));
        assert_eq!(sniff(b"ID3\x04\0\0"), Ok(Demuxer::Mp3));
        assert_eq!(sniff(b"ID3\x04\0\0\0\0\0\x01xfLaC\0\0\0\x22"), Ok(Demuxer::Flac));
        assert_eq!(sniff(b"ID3\x04\0\0\0\0\x7f\x7ffLaC\0\0\0\x22"), Ok(Demuxer::Mp3));
        assert_eq!(sniff(&[0xFF, 0xFB, 0x90, 0x64]), Ok(Demuxer::Mp3));
        assert_eq!(sniff(&[0xFF, 0xF1, 0x50, 0x80]), Ok(Demuxer::Aac));
        assert_eq!(sniff(b"RIFF\0\0\0\0WAVEfmt"), Ok(Demuxer::Wav));
        assert_eq!(sniff(b"fLaC\0\0\0\x22"), Ok(Demuxer::Flac));
    }

    #[test]
    fn what_is_no_video_is_named() {
        assert!(reason(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd").contains("HLS playlist"));
        assert!(reason(b"\xEF\xBB\xBF\n #EXTM3U").contains("HLS playlist"));
        assert!(reason(b"ffconcat version 1.0\nfile /etc/passwd").contains("ffconcat"));
        assert!(reason(b"<?xml version='1.0'?><MPD>").contains("DASH"));
        assert!(reason(b"<svg onload=x>").contains("SVG"));
        assert!(reason("Grüße\n".as_bytes()).contains("text file"));
        assert!(reason(b"RIFF\0\0\0\0ACON").contains("neither video nor sound"));
        assert!(reason(b"\xFF\xFE<\0!\0").contains("not a video"), "text in UTF-16");
        assert!(reason(&[0; 100]).contains("zero bytes"));
        assert_eq!(sniff(b""), Err(SourceFault::Empty));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(head in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _decision = sniff(&head);
        }

        #[test]
        fn text_is_never_a_video(text in "[ -~\n]{1,400}") {
            // Only text that spells a box type or OggS at the very start could pass for a container.
            prop_assume!(!text.starts_with("OggS") && !is_iso_media(text.as_bytes()) && !is_transport_stream(text.as_bytes()));
            prop_assert!(sniff(text.as_bytes()).is_err());
        }
    }
}
