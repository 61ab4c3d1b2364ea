use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn convert(file: &str) -> Result<String, CaptionError> {
    to_webvtt(file.as_bytes(), None)
}

#[test]
fn subrip_becomes_webvtt() {
    let subrip = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i>\r\n{\\an8}Tom & Jerry\r\n\r\n2\r\n\
                  00:00:03,000 --> 00:00:04,000 X1:10 X2:20\r\nÄrger\r\n";
    let webvtt = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<i>Hello</i>\nTom &amp; Jerry\n\n\
                  00:00:03.000 --> 00:00:04.000\nÄrger\n";
    assert_eq!(convert(subrip).unwrap(), webvtt);
}

#[test]
fn sloppy_subrip_is_read_as_its_players_read_it() {
    // No numbers, an empty line inside of a text, no empty line between cues, out of order, one that shows nothing.
    let sloppy = "00:00:05,000 --> 00:00:06,000\nlater\n\nstill later\n3\n00:00:01,000 --> 00:00:02,000\nfirst\n\n\
                  00:00:03,000 --> 00:00:03,000\nnever\n\n7\n00:00:07,000 --> 00:00:08,000\n\n\n9\n\
                  00:00:09,000 --> 00:00:10,000\n1984\n\n\n";
    assert_eq!(
        convert(sloppy).unwrap(),
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nfirst\n\n00:00:05.000 --> 00:00:06.000\nlater\nstill later\n\n\
         00:00:09.000 --> 00:00:10.000\n1984\n"
    );
}

#[test]
fn webvtt_keeps_everything_but_what_moves_its_times() {
    let file = "WEBVTT - a title\r\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\r\n\r\nSTYLE\n::cue { color: red }\n\n\
                NOTE\nby hand\n\n\nintro\n00:01.000 --> 01:00:02,000 line:0 align:start\n<v Ann>a &amp; b</v>\n";
    let kept = "WEBVTT - a title\n\nSTYLE\n::cue { color: red }\n\nNOTE\nby hand\n\nintro\n\
                00:00:01.000 --> 01:00:02.000 line:0 align:start\n<v Ann>a &amp; b</v>\n";
    assert_eq!(convert(file).unwrap(), kept);
    let close = "WEBVTT\n00:01.000 --> 00:02.000\nright behind the head";
    assert!(convert(close).unwrap().ends_with("\n\n00:00:01.000 --> 00:00:02.000\nright behind the head\n"));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let line = |file: &str| match convert(file) {
        Err(CaptionError::Line { line, .. }) => line,
        other => panic!("{file:?}: {other:?}"),
    };
    assert_eq!(line("1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:03,000 --> 00:00:7x,000\nb\n"), 6);
    assert_eq!(line("1\n00:00:03,000 --> 00:00:02,000\na\n"), 2);
    assert_eq!(line("A film\n1\n00:00:01,000 --> 00:00:02,000\na\n"), 1);
    assert_eq!(line("WEBVTT\n\n00:01.000 --> 00:02.000\na\n\nlost text\n"), 6);
    assert_eq!(line("WEBVTT\n\n00:01.000 --> 00:02.000\na\n00:03.000 --> 00:04.000\nb\n"), 5);
    assert_eq!(line("WEBVTT\n\n\n\nid\n0:1 --> 2\na\n"), 6);
    for (file, word) in [
        ("", "empty"),
        ("\u{feff} \n", "empty"),
        ("WEBVTT\n\nNOTE nothing\n", "no captions"),
        ("Dear mother,\nI am well.\n", "no captions"),
        ("1\n2\n3\n", "no captions"),
        ("[Script Info]\nTitle: x\n", "ASS"),
        ("<?xml version=\"1.0\"?><tt/>", "TTML"),
        ("{1}{25}Hello", "MicroDVD"),
        ("PK\u{3}\u{4}\0\0", "not text"),
    ] {
        let error = convert(file).unwrap_err().to_string();
        assert!(error.contains(word), "{file:?}: {error}");
    }
}

#[test]
fn encodings_are_told_by_a_mark_or_by_the_sender_and_never_guessed() {
    let subrip = "1\n00:00:01,000 --> 00:00:02,000\nÄrger für 5 €\n";
    let expected = convert(subrip).unwrap();
    let utf16 = |mark: u16, bytes: fn(u16) -> [u8; 2]| {
        std::iter::once(mark).chain(subrip.encode_utf16()).flat_map(bytes).collect::<Vec<u8>>()
    };
    assert_eq!(to_webvtt(&utf16(0xfeff, u16::to_le_bytes), None).unwrap(), expected);
    assert_eq!(to_webvtt(&utf16(0xfeff, u16::to_be_bytes), Some("utf-8")).unwrap(), expected);
    let (legacy, _, _) = encoding_rs::WINDOWS_1252.encode(subrip);
    assert_eq!(to_webvtt(&legacy, None), Err(CaptionError::NotUtf8 { line: 3 }));
    assert_eq!(to_webvtt(&legacy, Some("Windows-1252")).unwrap(), expected);
    assert!(
        matches!(to_webvtt(&legacy, Some("shift_jis\u{7}")), Err(CaptionError::Charset(name)) if !name.contains('\u{7}'))
    );
    assert_eq!(to_webvtt(&utf16(0x31, u16::to_le_bytes), None), Err(CaptionError::Binary));
}

#[test]
fn a_track_is_moved_to_the_beginning_of_the_video_and_cut_at_its_end() {
    let track = b"1\n00:59:59,000 --> 00:59:59,900\nbefore\n\n2\n00:59:59,000 --> 01:00:01,000\nacross\n\n\
        3\n01:00:02,000 --> 01:00:09,000\nto the end\n\n4\n01:00:05,000 --> 01:00:06,000\nbehind\n";
    assert_eq!(
        of_track(track, 3_600_000, 5000).unwrap(),
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nacross\n\n00:00:02.000 --> 00:00:05.000\nto the end\n"
    );
    assert_eq!(of_track(b"", 0, 5000), None);
}

/// A reader of its own: times and shown text of every cue.
fn shown(webvtt: &str) -> Vec<(String, String)> {
    let cues = webvtt.split("\n\n").skip(1);
    cues.map(|cue| {
        let (times, text) = cue.split_once('\n').unwrap();
        let text = text.trim_end_matches('\n');
        (times.to_owned(), text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    })
    .collect()
}

fn clock(ms: u64, point: char) -> String {
    format!("{:02}:{:02}:{:02}{point}{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// Without what would be a tag or an entity.
const TEXT: &str = "x([a-zA-ZäßЖ字 ,.!?-]{0,8}( & | < | > |&& |<3 )){0,4}[a-z]{1,3}";

proptest! {
    #[test]
    fn every_text_is_shown_as_it_was_written_at_its_time(
        cues in proptest::collection::vec((0_u64..9_000_000, 1_u64..100_000, TEXT), 1..20),
        numbered: bool, line_end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
    ) {
        let mut subrip = String::new();
        for (number, (start_ms, long_ms, text)) in cues.iter().enumerate() {
            if numbered {
                write!(subrip, "{}{line_end}", number + 1).unwrap();
            }
            let times = format!("{} --> {}", clock(*start_ms, ','), clock(start_ms + long_ms, ','));
            write!(subrip, "{times}{line_end}{text}{line_end}{line_end}").unwrap();
        }
        let mut expected = cues;
        expected.sort_by_key(|cue| cue.0);
        let expected: Vec<_> = expected.iter().map(|(start_ms, long_ms, text)| {
            (format!("{} --> {}", clock(*start_ms, '.'), clock(start_ms + long_ms, '.')), text.clone())
        }).collect();
        let webvtt = convert(&subrip).unwrap();
        prop_assert!(!webvtt.contains('<'), "what is no tag is escaped: {}", webvtt);
        prop_assert_eq!(shown(&webvtt), expected);
    }

    #[test]
    fn whatever_comes_in_what_comes_out_is_webvtt_that_stays_as_it_is(
        file in "(WEBVTT\n\n|1\n|)(\\PC{0,10}|00:0[0-9]:[0-9]{1,2}[,.]000 --> 00:09:10.000|\n|-->|[0-9]|<[a-z/ ]{1,5}>|&[a-z]{2,4};|\\{\\\\an8\\}| ){0,40}",
    ) {
        if let Ok(webvtt) = convert(&file) {
            prop_assert!(webvtt.starts_with("WEBVTT") && webvtt.contains(" --> "), "{}", webvtt);
            prop_assert_eq!(convert(&webvtt).unwrap(), webvtt);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(file in proptest::collection::vec(any::<u8>(), 0..300), charset in "utf-16le|big5|x|latin1") {
        drop((to_webvtt(&file, None), to_webvtt(&file, Some(&charset)), of_track(&file, 500, 1000)));
    }
}
