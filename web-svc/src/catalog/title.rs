//! Titles: what a person gave, or what can be made of a file's name.

use thiserror::Error;
use triton_api::video::{DESCRIPTION_CHARS_MAX, TITLE_CHARS_MAX};

/// What stands where nobody gave a title and the file's name has none either.
const UNTITLED: &str = "Untitled";

/// Why a title or a description is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TitleError {
    /// Nothing but white space.
    #[error("The title is empty. Give at least one visible character.")]
    Empty,
    /// Over the limit.
    #[error("The {what} has {chars} characters; at most {max} are allowed.")]
    TooLong {
        /// Title or description.
        what: &'static str,
        /// How many there are.
        chars: usize,
        /// How many are allowed.
        max: usize,
    },
}

/// A title that fits the limits: one line, trimmed, without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Checks a title that a person gave.
    pub fn parse(text: &str) -> Result<Self, TitleError> {
        let clean = one_line(text);
        let chars = clean.chars().count();
        if clean.is_empty() {
            return Err(TitleError::Empty);
        }
        if chars > TITLE_CHARS_MAX {
            return Err(TitleError::TooLong { what: "title", chars, max: TITLE_CHARS_MAX });
        }
        Ok(Self(clean))
    }

    /// Checks a description, which may have several lines and be empty.
    pub fn check_description(text: &str) -> Result<(), TitleError> {
        let chars = text.chars().count();
        if chars > DESCRIPTION_CHARS_MAX {
            return Err(TitleError::TooLong { what: "description", chars, max: DESCRIPTION_CHARS_MAX });
        }
        Ok(())
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// A title made of a file's name: without folders and extension, cut to the limit.
pub fn title_of_file(file_name: &str) -> Title {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = match name.rsplit_once('.') {
        Some((stem, _)) if !stem.trim_matches('.').is_empty() => stem,
        Some((_, extension)) if name.starts_with('.') => extension,
        _ => name,
    };
    let stem = if stem.trim_matches('.').is_empty() { "" } else { stem };
    let clean: String = one_line(stem).chars().take(TITLE_CHARS_MAX).collect();
    let clean = clean.trim();
    Title(if clean.is_empty() { UNTITLED.to_owned() } else { clean.to_owned() })
}

fn one_line(text: &str) -> String {
    text.split(char::is_whitespace)
        .map(|word| word.chars().filter(|c| !c.is_control()).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_become_titles() {
        for (file, title) in [
            ("clip.mp4", "clip"),
            ("../../x.mp4", "x"),
            ("C:\\videos\\My film.final.mkv", "My film.final"),
            ("...mp4", "mp4"),
            ("", "Untitled"),
            ("..", "Untitled"),
            ("\"<b>&'.mp4", "\"<b>&'"),
            ("a\u{0}b\nc.mp4", "ab c"),
            ("README", "README"),
        ] {
            assert_eq!(title_of_file(file).into_string(), title, "{file:?}");
        }
        assert_eq!(title_of_file(&format!("{}.mp4", "🎬".repeat(400))).into_string().chars().count(), 300);
    }

    #[test]
    fn given_titles_are_checked() {
        assert_eq!(Title::parse("  a\tb "), Ok(Title("a b".to_owned())));
        assert_eq!(Title::parse(" \n"), Err(TitleError::Empty));
        assert!(matches!(Title::parse(&"🎬".repeat(301)), Err(TitleError::TooLong { chars: 301, .. })));
        assert!(Title::parse(&"🎬".repeat(300)).is_ok());
    }
}
