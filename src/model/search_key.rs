//! How names are compared when they are listed and searched: without regard to case, diacritics and punctuation. What
//! is shown is never changed.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::DomainName;

/// The longest key, in characters.
pub const KEY_MAX: usize = 120;
/// Words of a name that a search can begin at.
const WORDS: usize = 8;

/// The key of a text: compatibility-decomposed (Unicode Annex 15, NFKD), without marks, case-folded, its words with one
/// blank between them. `Äcme  GmbH & Co.` becomes `acme gmbh co`. Of a text without letters and digits, the text itself;
/// never empty for a text that is not blank.
pub fn search_key(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    // Through capitals and back, letter by letter: a full case folding but for letters that few names have.
    let folded = text.nfkd().filter(|c| !is_combining_mark(*c));
    let folded = folded.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc();
    let mut between = false;
    for c in folded {
        if c.is_alphanumeric() {
            if between && !key.is_empty() {
                key.push(' ');
            }
            between = false;
            key.push(c);
        } else if c != '\'' && c != '\u{2019}' {
            between = true;
        }
    }
    if key.is_empty() {
        key = text.trim().replace('\0', "\u{fffd}");
    }
    match key.char_indices().nth(KEY_MAX) {
        Some((end, _)) => key[..end].trim_end().to_owned(),
        None => key,
    }
}

/// The rest of a key from each word on that is not its first.
pub fn later_words(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices(' ').map(|(at, _)| &key[at + 1..]).take(WORDS - 1)
}

/// A domain's labels from the last to the first, so that what is beneath a name begins with it: `example.acme.www`.
pub fn reversed_labels(name: &DomainName) -> String {
    let text = name.to_string();
    text.rsplit('.').collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_marks_and_punctuation_do_not_count() {
        for (text, key) in [
            ("Acme Ltd", "acme ltd"),
            ("  Äcme  GmbH & Co. KG", "acme gmbh co kg"),
            ("Straße", "strasse"),
            ("O'Neill’s", "oneills"),
            ("ＡＣＭＥ ①", "acme 1"),
            ("İstanbul", "istanbul"),
            ("Ωμέγας", "ωμεγασ"),
            ("north-sea.trading", "north sea trading"),
            ("日本語", "日本語"),
            ("!!!", "!!!"),
        ] {
            assert_eq!(search_key(text), key, "{text}");
        }
        assert_eq!(later_words("north sea trading").collect::<Vec<_>>(), ["sea trading", "trading"]);
        assert_eq!(later_words("acme").count(), 0);
        assert_eq!(reversed_labels(&DomainName::parse("*.Shop.acme.example").unwrap()), "example.acme.shop.*");
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(text in "\\PC{0,150}") {
            let key = search_key(&text);
            prop_assert!(key.chars().count() <= KEY_MAX);
            prop_assert_eq!(key.is_empty(), text.trim().is_empty());
            if key.chars().any(char::is_alphanumeric) {
                prop_assert_eq!(search_key(&key), key);
            }
        }
    }
}
