//! Language codes: containers use three letters (ISO 639-2), manifests want the shortest tag (BCP 47).

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

/// A BCP 47 tag for a container's language code; `None` if it is not one at all.
pub(super) fn bcp47(code: &str) -> Option<String> {
    let code = code.trim().replace('_', "-");
    let lower = code.to_ascii_lowercase();
    if ["und", "mis", "zxx"].contains(&lower.as_str()) {
        return None;
    }
    if let Some((_, short)) = SHORT.iter().find(|(long, _)| *long == lower) {
        return Some((*short).to_owned());
    }
    let subtags: Vec<&str> = code.split('-').collect();
    let plain =
        |subtag: &&str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let primary = subtags
        .first()
        .is_some_and(|first| matches!(first.len(), 2 | 3) && first.bytes().all(|byte| byte.is_ascii_alphabetic()));
    (primary && code.len() <= 35 && subtags.iter().all(plain)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::bcp47;

    #[test]
    fn codes_become_the_shortest_tags() {
        assert_eq!(bcp47("eng").as_deref(), Some("en"));
        assert_eq!(bcp47("GER").as_deref(), Some("de"));
        assert_eq!(bcp47("pt_BR").as_deref(), Some("pt-BR"));
        assert_eq!(bcp47("haw").as_deref(), Some("haw"));
        for bad in ["und", "", "english language", "e\"n", "en--US"] {
            assert_eq!(bcp47(bad), None, "{bad}");
        }
    }
}
