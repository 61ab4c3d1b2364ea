//! `Upload-Metadata`: what the sender says about the file.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use triton_api::upload::METADATA_BYTES_MAX;

use super::TusError;
use crate::{
    catalog::Title,
    upload::{finish::Details, form::visibility},
};

/// What is known of a file before its bytes.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) file_name: String,
    pub(super) details: Details,
}

/// Reads the header: pairs of a name and a base64 value, separated by commas. Names that are not known are left alone.
pub(super) fn parse(text: &str) -> Result<Metadata, TusError> {
    if text.len() > METADATA_BYTES_MAX {
        return Err(TusError::Header(format!("Upload-Metadata is longer than {METADATA_BYTES_MAX} bytes.")));
    }
    let (mut metadata, mut names) = (Metadata::default(), Vec::new());
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if names.contains(&name) {
            return Err(TusError::Header(format!("Upload-Metadata names `{}` twice.", short(name))));
        }
        names.push(name);
        metadata.note(name, value.trim())?;
    }
    Ok(metadata)
}

impl Metadata {
    fn note(&mut self, name: &str, value: &str) -> Result<(), TusError> {
        let value = || {
            let bytes = STANDARD.decode(value).ok();
            let unreadable = || TusError::Header(format!("Upload-Metadata: `{}` is no base64 of UTF-8.", short(name)));
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(unreadable)
        };
        match name {
            "filename" => self.file_name = value()?,
            // What some clients call it; `filename` wins.
            "name" if self.file_name.is_empty() => self.file_name = value()?,
            "title" => self.details.title = Some(Title::parse(&value()?)?),
            "description" => {
                let description = value()?;
                Title::check_description(&description)?;
                self.details.description = Some(description);
            }
            "visibility" => self.details.visibility = Some(visibility(&value()?)?),
            _ => {}
        }
        Ok(())
    }
}

fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use triton_api::video::Visibility;

    use super::*;

    #[test]
    fn pairs_are_read_and_strange_ones_are_left_alone() {
        let metadata = parse(
            "filename Y2xpcC5tcDQ=,title VGl0bGU=, visibility dW5saXN0ZWQ=,is_confidential,relativePath bnVsbA==",
        );
        let metadata = metadata.unwrap();
        assert_eq!(metadata.file_name, "clip.mp4");
        assert_eq!(metadata.details.title, Some(Title::parse("Title").unwrap()));
        assert_eq!(metadata.details.visibility, Some(Visibility::Unlisted));
        assert_eq!(parse("").unwrap().file_name, "");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let long = format!("x {}", "A".repeat(METADATA_BYTES_MAX));
        for bad in ["title !", "filename /w==", "title YQ==,title YQ==", &long] {
            assert!(matches!(parse(bad), Err(TusError::Header(_))), "{bad:.40}");
        }
        // An empty title, and a visibility that does not exist.
        assert!(parse("title").is_err() && parse("visibility YQ==").is_err());
    }
}
