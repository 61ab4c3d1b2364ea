//! From bytes to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

use super::CaptionError;

/// The text of a file with plain line ends. Its mark (BOM) says in which encoding it is, else its sender, else it is UTF-8:
/// a guess that is wrong would only be seen by the viewers.
pub(super) fn decode(file: &[u8], charset: Option<&str>) -> Result<String, CaptionError> {
    let (encoding, rest) = match Encoding::for_bom(file) {
        Some((encoding, mark)) => (encoding, file.get(mark..).unwrap_or_default()),
        None => (declared(charset)?, file),
    };
    let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(rest) else {
        return Err(if encoding == UTF_8 && !rest.contains(&0) {
            CaptionError::NotUtf8 { line: first_bad_line(rest) }
        } else if encoding == UTF_8 {
            CaptionError::Binary
        } else {
            CaptionError::Charset(encoding.name().to_owned())
        });
    };
    if text.contains('\0') {
        return Err(CaptionError::Binary);
    }
    if text.trim().is_empty() { Err(CaptionError::Empty) } else { Ok(plain_line_ends(text)) }
}

/// The same for a program's output, which must not fail for one bad letter.
pub(super) fn decode_lossy(output: &[u8]) -> String {
    plain_line_ends(String::from_utf8_lossy(output).replace('\0', "").into())
}

/// What format it is that is not taken.
pub(super) fn foreign(text: &str) -> Option<&'static str> {
    let head: String = text.trim_start().chars().take(40).collect::<String>().to_ascii_lowercase();
    let begins = [
        ("[script info]", "an ASS or SSA file"),
        ("<?xml", "an XML file, perhaps TTML"),
        ("<tt", "a TTML file"),
        ("<sami", "a SAMI file"),
        ("scenarist_scc", "an SCC file"),
        ("{\\rtf", "an RTF document"),
        ("<!doctype", "an HTML page"),
        ("<html", "an HTML page"),
    ];
    let is_microdvd = head.starts_with('{') && head.get(1..2).is_some_and(|digit| digit.starts_with(char::is_numeric));
    let named = begins.into_iter().find(|(begin, _)| head.starts_with(begin)).map(|(_, name)| name);
    named.or_else(|| is_microdvd.then_some("a MicroDVD file"))
}

fn declared(charset: Option<&str>) -> Result<&'static Encoding, CaptionError> {
    let Some(charset) = charset else { return Ok(UTF_8) };
    Encoding::for_label(charset.as_bytes())
        .ok_or_else(|| CaptionError::Charset(charset.chars().filter(|c| !c.is_control()).take(40).collect()))
}

fn first_bad_line(file: &[u8]) -> usize {
    let good = std::str::from_utf8(file).map_or_else(|error| error.valid_up_to(), str::len);
    let ends = file.iter().take(good).filter(|&&byte| byte == b'\n' || byte == b'\r').count();
    let pairs = file.get(..good).unwrap_or_default().windows(2).filter(|pair| *pair == b"\r\n").count();
    ends - pairs + 1
}

fn plain_line_ends(text: Cow<'_, str>) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.into_owned() }
}
