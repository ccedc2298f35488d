//! Colours as people write them on the web, and how well one can be read on another (WCAG 2.2).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An opaque sRGB colour. Read from `#rgb` or `#rrggbb`, written as `#rrggbb` in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    pub red: u8,
    pub green: u8,
    pub blue: u8,
}

/// Not a colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a colour is # with three or six hexadecimal digits, such as \"#3b5bdb\"")]
pub struct ColourError;

impl Colour {
    pub const WHITE: Self = Self { red: 255, green: 255, blue: 255 };
    pub const BLACK: Self = Self { red: 0, green: 0, blue: 0 };

    pub fn parse(text: &str) -> Result<Self, ColourError> {
        let hex = text.strip_prefix('#').filter(|hex| hex.is_ascii()).ok_or(ColourError)?;
        let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        match digits.ok_or(ColourError)?.as_slice() {
            [r, g, b] => Ok(Self { red: r * 17, green: g * 17, blue: b * 17 }),
            [r, s, g, h, b, c] => Ok(Self { red: r * 16 + s, green: g * 16 + h, blue: b * 16 + c }),
            _ => Err(ColourError),
        }
    }

    /// From 1 (the same) to 21 (black on white); 4.5 is what text needs, 3 what large text and controls need
    /// (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>).
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Black or white, whichever is read better on this: the ratio is never below 4.5.
    pub fn ink(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    /// <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

impl fmt::Debug for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_colour_is_a_colour() {
        for (text, written) in [("#fff", "#ffffff"), ("#12ab9F", "#12ab9f"), ("#000000", "#000000")] {
            assert_eq!(Colour::parse(text).unwrap().to_string(), written);
        }
        for text in ["red", "#ffff", "#fff;}", "fff", "", "#", "#ggg", "#1234567", "#äöü", "#+12"] {
            assert_eq!(Colour::parse(text), Err(ColourError), "{text}");
        }
    }

    #[test]
    fn contrast_is_what_wcag_says() {
        let of = |one, two| Colour::parse(one).unwrap().contrast(Colour::parse(two).unwrap());
        for (one, two, ratio) in [
            ("#000", "#fff", 21.0),
            ("#fff", "#fff", 1.0),
            ("#777777", "#ffffff", 4.48),
            ("#767676", "#ffffff", 4.54),
            ("#0000ff", "#ffffff", 8.59),
        ] {
            assert!((of(one, two) - ratio).abs() < 0.01, "{one} on {two}: {}", of(one, two));
        }
    }

    proptest! {
        #[test]
        fn ink_can_always_be_read(red: u8, green: u8, blue: u8) {
            let colour = Colour { red, green, blue };
            prop_assert!(colour.ink().contrast(colour) >= 4.5);
            prop_assert_eq!(Colour::parse(&colour.to_string()), Ok(colour));
        }
    }
}
