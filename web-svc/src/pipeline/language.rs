//! Language codes: containers use three letters (ISO 639-2), manifests want the shortest tag (BCP 47).

use triton_api::Language;

/// A tag for a container's language code; `None` if it is not one at all, or says that nobody knows.
pub(super) fn bcp47(code: &str) -> Option<Language> {
    // Some writers have the form of POSIX locales.
    code.trim().replace('_', "-").parse().ok().filter(Language::is_determined)
}

#[cfg(test)]
mod tests {
    use super::bcp47;

    #[test]
    fn codes_become_the_shortest_tags() {
        let tag = |code: &str| bcp47(code).map(|language| language.to_string());
        assert_eq!(tag("eng").as_deref(), Some("en"));
        assert_eq!(tag("GER").as_deref(), Some("de"));
        assert_eq!(tag("pt_BR").as_deref(), Some("pt-BR"));
        assert_eq!(tag("haw").as_deref(), Some("haw"));
        for bad in ["und", "", "english language", "e\"n", "en--US"] {
            assert_eq!(tag(bad), None, "{bad}");
        }
    }
}
