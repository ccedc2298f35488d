//! `[compression]`: which answers are compressed on their way to visitors, and how hard.

use super::section::Section;

const KIB: u64 = 1 << 10;
const TYPE: &str =
    "a media type in lowercase such as \"text/html\", with one * behind the slash if need be: \"text/*\"";
const ALGORITHM: &str = "\"zstd\", \"gzip\" or \"br\"";

/// `[compression]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compression {
    /// Default true.
    pub enabled: bool,
    /// The first of those that a visitor likes best is taken. Default zstd, gzip, br.
    pub algorithms: Vec<Coding>,
    /// Media types worth the effort. Default: text, JSON, XML, JavaScript, WebAssembly, SVG and plain fonts.
    pub types: Vec<MediaPattern>,
    /// Answers that are known to be smaller stay as they are. In bytes, default 1 KiB.
    pub min_bytes: u64,
    /// 1 (fast) to 9 (small). Default 4.
    pub gzip_level: u32,
    /// 1 to 9. Default 4.
    pub brotli_level: u32,
    /// 1 to 15. Default 3.
    pub zstd_level: u32,
    /// Answers that may be under compression at once; more go out as they are. 0 to 65,536, default 256.
    pub most_at_once: usize,
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

/// A media type, or several by one `*` in the subtype.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaPattern {
    before: String,
    /// What follows the `*`; `None`: there is none, and `before` is the whole.
    after: Option<String>,
}

impl Coding {
    /// In the order of what they cost: for about the same size, brotli takes five times gzip's CPU here.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Brotli];

    /// Its name in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

impl Compression {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let algorithms = section.texts("algorithms", ALGORITHM, algorithm);
        if section.is_empty_list("algorithms") {
            section.fault("algorithms", "found none, expected at least one; to compress nothing, say enabled = false");
        }
        let types = section.texts("types", TYPE, MediaPattern::parse);
        if section.is_empty_list("types") {
            section.fault("types", "found none, expected at least one; to compress nothing, say enabled = false");
        }
        let absent = !section.has("types");
        Self {
            enabled: section.flag("enabled", true),
            algorithms: if algorithms.is_empty() { Coding::ALL.into() } else { algorithms },
            types: if absent { default_types() } else { types },
            min_bytes: section.size("min_bytes", 1..=KIB * KIB, KIB),
            gzip_level: section.number("gzip_level", 1..=9, 4),
            brotli_level: section.number("brotli_level", 1..=9, 4),
            zstd_level: section.number("zstd_level", 1..=15, 3),
            most_at_once: section.number("most_at_once", 0..=65_536, 256u32) as usize,
        }
    }

    pub fn level(&self, coding: Coding) -> u32 {
        match coding {
            Coding::Zstd => self.zstd_level,
            Coding::Brotli => self.brotli_level,
            Coding::Gzip => self.gzip_level,
        }
    }

    /// Whether answers of this type are compressed. `media` is in lowercase and without parameters. A stream of events
    /// only when it is named in full: most of its messages are too small to gain by it.
    pub fn takes(&self, media: &str) -> bool {
        let events = media == EVENTS;
        self.types.iter().any(|pattern| pattern.matches(media) && (!events || pattern.after.is_none()))
    }
}

impl MediaPattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+*".contains(&b);
        let (kind, subtype) = text.split_once('/').ok_or("")?;
        if kind.is_empty()
            || subtype.is_empty()
            || kind.contains('*')
            || !kind.bytes().chain(subtype.bytes()).all(plain)
        {
            return Err("");
        }
        match text.split_once('*') {
            Some((_, after)) if after.contains('*') => Err("one * is enough"),
            Some((before, after)) => Ok(Self { before: before.to_owned(), after: Some(after.to_owned()) }),
            None => Ok(Self { before: text.to_owned(), after: None }),
        }
    }

    fn matches(&self, media: &str) -> bool {
        match &self.after {
            None => media == self.before,
            Some(after) => media.strip_prefix(&*self.before).is_some_and(|rest| rest.ends_with(&**after)),
        }
    }
}

fn algorithm(text: &str) -> Result<Coding, &'static str> {
    Coding::ALL.into_iter().find(|coding| coding.as_str() == text).ok_or("")
}

fn default_types() -> Vec<MediaPattern> {
    TYPES.iter().filter_map(|text| MediaPattern::parse(text).ok()).collect()
}

const EVENTS: &str = "text/event-stream";

const TYPES: [&str; 12] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/javascript",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_they_name() {
        assert_eq!(default_types().len(), TYPES.len());
        let all = Compression {
            enabled: true,
            algorithms: Coding::ALL.into(),
            types: default_types(),
            min_bytes: KIB,
            gzip_level: 4,
            brotli_level: 4,
            zstd_level: 3,
            most_at_once: 256,
        };
        for media in ["text/html", "application/problem+json", "application/atom+xml", "image/svg+xml", "font/ttf"] {
            assert!(all.takes(media), "{media}");
        }
        for media in
            ["image/png", "application/octet-stream", "application/grpc", "font/woff2", "text/event-stream", ""]
        {
            assert!(!all.takes(media), "{media}");
        }
        let named = Compression { types: vec![MediaPattern::parse(EVENTS).unwrap()], ..all };
        assert!(named.takes(EVENTS) && !named.takes("text/html"));
        for bad in ["text", "*/*", "text/", "/html", "text/*x*", "Text/html", "text/html; charset=utf-8"] {
            assert!(MediaPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
