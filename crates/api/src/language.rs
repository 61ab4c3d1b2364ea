//! Languages of captions and sound: BCP 47 tags in one canonical form.

use std::{fmt, str::FromStr};

use oxilangtag::LanguageTag;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::id::{ParseIdError, textual};

/// A BCP 47 language tag (RFC 5646), well-formed, in its usual case, and as short as can be: `en` for `ENG`, `pt-BR`,
/// `zh-Hant`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(String);

impl Language {
    /// The longest tag, in bytes: what RFC 5646 (4.4.1) asks everybody to take.
    pub const BYTES_MAX: usize = 35;

    /// Nobody knows which.
    pub fn undetermined() -> Self {
        Self("und".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the tag names a language, and not that there is none or that nobody knows it.
    pub fn is_determined(&self) -> bool {
        let primary = self.0.split('-').next().unwrap_or_default();
        !matches!(primary, "und" | "mis" | "zxx")
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Language {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError::new(text, "a language tag (BCP 47), such as `en`, `pt-BR` or `zh-Hant`");
        if text.len() > Self::BYTES_MAX {
            return Err(error());
        }
        let tag = LanguageTag::parse_and_normalize(text).map_err(|_| error())?;
        let primary = tag.primary_language();
        // The grammar has room for names of up to eight letters and for private ones, of which no player makes anything.
        if !matches!(primary.len(), 2 | 3) {
            return Err(error());
        }
        Ok(match short(primary) {
            Some(short) => Self(format!("{short}{}", &tag.as_str()[primary.len()..])),
            None => Self(tag.into_inner()),
        })
    }
}

textual!(
    Language,
    "A BCP 47 language tag; `und` where nobody knows which.",
    "pt-BR",
    pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$"
);

/// The two letters for a language that containers and people also write with three.
fn short(code: &str) -> Option<&'static str> {
    SHORT.iter().find(|(long, _)| *long == code).map(|(_, short)| *short)
}

/// The codes that have a two-letter form and are likely to turn up, both the terminological and the bibliographic ones.
const SHORT: [(&str, &str); 66] = [
    ("ara", "ar"),
    ("bel", "be"),
    ("ben", "bn"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("cze", "cs"),
    ("chi", "zh"),
    ("zho", "zh"),
    ("cym", "cy"),
    ("wel", "cy"),
    ("dan", "da"),
    ("deu", "de"),
    ("ger", "de"),
    ("dut", "nl"),
    ("nld", "nl"),
    ("ell", "el"),
    ("gre", "el"),
    ("eng", "en"),
    ("epo", "eo"),
    ("est", "et"),
    ("eus", "eu"),
    ("baq", "eu"),
    ("fas", "fa"),
    ("per", "fa"),
    ("fin", "fi"),
    ("fra", "fr"),
    ("fre", "fr"),
    ("gle", "ga"),
    ("glg", "gl"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("hye", "hy"),
    ("arm", "hy"),
    ("ind", "id"),
    ("isl", "is"),
    ("ice", "is"),
    ("ita", "it"),
    ("jpn", "ja"),
    ("kat", "ka"),
    ("geo", "ka"),
    ("kor", "ko"),
    ("lat", "la"),
    ("lav", "lv"),
    ("lit", "lt"),
    ("mkd", "mk"),
    ("may", "ms"),
    ("msa", "ms"),
    ("nor", "no"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rum", "ro"),
    ("rus", "ru"),
    ("slk", "sk"),
    ("slo", "sk"),
    ("slv", "sl"),
    ("spa", "es"),
    ("srp", "sr"),
    ("swe", "sv"),
    ("tha", "th"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("vie", "vi"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_has_one_form() {
        for (given, canonical) in [
            ("en", "en"),
            ("ENG", "en"),
            ("ger-at", "de-AT"),
            ("pt-br", "pt-BR"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("haw", "haw"),
            ("und", "und"),
            ("sl-rozaj-biske", "sl-rozaj-biske"),
        ] {
            assert_eq!(given.parse::<Language>().unwrap().as_str(), canonical, "{given}");
        }
        for bad in ["", "e", "english", "en--US", "en-", "pt_BR", "x-private", "en us", "en/../x", "ä", "e\"n"] {
            let error = bad.parse::<Language>().unwrap_err();
            assert!(error.to_string().contains("pt-BR"), "{bad}: {error}");
        }
        assert!(!Language::undetermined().is_determined() && "nl".parse::<Language>().unwrap().is_determined());
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_canonical_and_safe_in_a_path(text in "[A-Za-z0-9-]{2,12}|.{0,40}") {
            if let Ok(language) = text.parse::<Language>() {
                prop_assert_eq!(language.as_str().parse::<Language>(), Ok(language.clone()));
                prop_assert!(language.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
                prop_assert!(language.as_str().len() <= Language::BYTES_MAX);
            }
        }
    }
}
