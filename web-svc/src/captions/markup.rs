//! The text of a `SubRip` cue as the text of a `WebVTT` cue.

/// What `WebVTT` calls what.
const ENTITIES: [&str; 6] = ["&amp;", "&lt;", "&gt;", "&nbsp;", "&lrm;", "&rlm;"];
/// Tags that both have.
const TAGS: [&str; 6] = ["b", "/b", "i", "/i", "u", "/u"];
/// The longest tag or command that is looked at, in bytes.
const TAG_BYTES_MAX: usize = 300;

/// Keeps the tags that `WebVTT` has as well, drops colours and places, and makes the rest plain text. No line is empty.
pub(super) fn payload(lines: &[&str]) -> String {
    let whole = lines.join("\n");
    let (mut text, mut rest) = (String::with_capacity(whole.len()), whole.as_str());
    while let Some(at) = rest.find(['&', '<', '>', '{']) {
        let (plain, special) = rest.split_at(at);
        let (written, taken) = piece(special);
        text.push_str(plain);
        text.push_str(&written);
        rest = &special[taken..];
    }
    text.push_str(rest);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
    lines.join("\n")
}

/// What is written for the first part of a text that begins with a special character, and how many bytes that part has.
fn piece(text: &str) -> (String, usize) {
    let found = match text.as_bytes().first() {
        Some(b'&') => entity(text),
        Some(b'<') => tag(text),
        Some(b'{') => command(text),
        _ => None,
    };
    let plain = || match text.chars().next() {
        Some('&') => "&amp;".to_owned(),
        Some('<') => "&lt;".to_owned(),
        Some('>') => "&gt;".to_owned(),
        other => other.into_iter().collect(),
    };
    found.unwrap_or_else(|| (plain(), 1))
}

fn entity(text: &str) -> Option<(String, usize)> {
    let entity = ENTITIES.into_iter().find(|entity| text.starts_with(entity))?;
    Some((entity.to_owned(), entity.len()))
}

fn tag(text: &str) -> Option<(String, usize)> {
    let inside = inside(text, b'>')?;
    let name = inside.trim_end_matches('/').trim_end().to_ascii_lowercase();
    let written = match name.as_str() {
        "br" => "\n".to_owned(),
        "font" | "/font" => String::new(),
        name if name.starts_with("font ") => String::new(),
        name if TAGS.contains(&name) => format!("<{name}>"),
        // One with attributes, or one of other languages.
        _ => return None,
    };
    Some((written, inside.len() + 2))
}

/// SSA's commands, which players of `SubRip` know: `{\an8}` is a place.
fn command(text: &str) -> Option<(String, usize)> {
    let inside = inside(text, b'}')?;
    inside.starts_with('\\').then_some((String::new(), inside.len() + 2))
}

/// What stands between the first character and the next `end`, on one line.
fn inside(text: &str, end: u8) -> Option<&str> {
    // No further than a tag is long: this is asked at every character that could begin one.
    let text = text.get(1..)?;
    let at = text.bytes().take(TAG_BYTES_MAX + 1).position(|byte| byte == end)?;
    let inside = text.get(..at)?;
    (!inside.contains(['\n', '<', '{'])).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::payload;

    #[test]
    fn tags_that_webvtt_has_stay_and_the_rest_becomes_text_or_nothing() {
        for (subrip, webvtt) in [
            ("<i>Hello</i>, <B>you</B>", "<i>Hello</i>, <b>you</b>"),
            ("<font color=\"#ff0000\" size=3>red</font>", "red"),
            ("{\\an8}{\\fad(200,200)}above", "above"),
            ("Tom & Jerry, AT&amp;T, 1 < b > 0", "Tom &amp; Jerry, AT&amp;T, 1 &lt; b &gt; 0"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("<i onclick=x>a</i>", "&lt;i onclick=x&gt;a</i>"),
            ("{curly} <3 a --> b", "{curly} &lt;3 a --&gt; b"),
            ("one<br/>two", "one\ntwo"),
            ("<v Someone>text", "&lt;v Someone&gt;text"),
        ] {
            assert_eq!(payload(&[subrip]), webvtt, "{subrip}");
        }
        // The longest file, of nothing but beginnings: were each looked after to the end, this would take many minutes.
        let longest = 2 << 20;
        assert_eq!(payload(&[&"<".repeat(longest)]).len(), longest * "&lt;".len());
        assert_eq!(payload(&[&"{".repeat(longest)]).len(), longest);
        assert_eq!(payload(&["a  ", "{\\an8}", "", "b"]), "a\nb");
    }
}
