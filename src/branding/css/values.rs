//! The values of declarations, token by token: names, numbers, texts, a closed list of functions, and `url()` only to
//! where pictures may come from.

use cssparser::{CowRcStr, ParseError, Parser, Token, serialize_identifier, serialize_name, serialize_string};

use super::{Fault, Why};

/// Where `url()` may lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urls {
    /// `data:image/…`, and what the tenant has uploaded.
    Pictures,
    /// `#id`: into the same drawing.
    Fragments,
}

pub(super) struct Values {
    pub urls: Urls,
}

impl Values {
    /// The value of a property, up to the end of `input`. `!important` is left out: the edge's own rules come first.
    pub fn of(&self, property: &str, input: &mut Parser<'_>) -> Result<String, Fault> {
        let mut css = String::new();
        self.write(input, Place::Value, &mut css)?;
        let css = css.trim_end().to_owned();
        if property == "position" && !POSITIONS.contains(&css.to_ascii_lowercase().as_str()) {
            return Err(custom(
                "a position is static, relative, absolute or sticky: nothing leaves its place on the page",
            ));
        }
        Ok(css)
    }

    /// The condition of an `@media` or `@supports`.
    pub fn condition(&self, input: &mut Parser<'_>) -> Result<String, Fault> {
        let mut css = String::new();
        self.write(input, Place::Condition, &mut css)?;
        Ok(css.trim_end().to_owned())
    }

    fn write(&self, input: &mut Parser<'_>, place: Place, css: &mut String) -> Result<(), Fault> {
        loop {
            let start = input.position();
            let Ok(token) = input.next_including_whitespace_and_comments().cloned() else { return Ok(()) };
            match token {
                Token::WhiteSpace(_) | Token::Comment(_) => space(css),
                Token::Ident(text) => css.push_str(&name(&text)?),
                Token::Hash(text) | Token::IDHash(text) => {
                    check_name(&text)?;
                    css.push('#');
                    serialize_name(&text, css).map_err(|_| custom(ODD))?;
                }
                Token::QuotedString(text) => css.push_str(&string(&text)?),
                Token::Number { .. } | Token::Percentage { .. } | Token::Dimension { .. } => {
                    css.push_str(number(input.slice_from(start))?);
                }
                Token::UnquotedUrl(target) => css.push_str(&self.url(&target)?),
                Token::Comma => css.push(','),
                Token::Colon if place == Place::Condition => css.push(':'),
                Token::Delim(delim @ ('/' | '+' | '-' | '*')) => css.push(delim),
                Token::Delim('!') if place == Place::Value => {
                    input.expect_ident_matching("important")?;
                    return Ok(input.expect_exhausted()?);
                }
                Token::Function(function) => self.function(&function, input, css)?,
                Token::ParenthesisBlock => self.block(('(', ')'), input, place.within(), css)?,
                Token::SquareBracketBlock => self.block(('[', ']'), input, place.within(), css)?,
                _ => return Err(custom(ODD)),
            }
        }
    }

    fn function(&self, function: &CowRcStr<'_>, input: &mut Parser<'_>, css: &mut String) -> Result<(), Fault> {
        let function = function.to_ascii_lowercase();
        if function == "url" {
            let target = input.parse_nested_block(|input| -> Result<_, Fault> {
                let target = input.expect_string_cloned()?;
                input.expect_exhausted()?;
                Ok(target)
            })?;
            css.push_str(&self.url(&target)?);
            return Ok(());
        }
        if FUNCTIONS.binary_search(&function.as_str()).is_err() {
            return Err(custom("this function is not one of those that a tenant can use"));
        }
        css.push_str(&function);
        self.block(('(', ')'), input, Place::Inner, css)
    }

    fn block(
        &self,
        (open, close): (char, char),
        input: &mut Parser<'_>,
        place: Place,
        css: &mut String,
    ) -> Result<(), Fault> {
        css.push(open);
        input.parse_nested_block(|input| self.write(input, place, css))?;
        css.truncate(css.trim_end().len());
        css.push(close);
        Ok(())
    }

    fn url(&self, target: &str) -> Result<String, Fault> {
        let allowed = match self.urls {
            Urls::Pictures => is_picture(target) || is_upload(target),
            Urls::Fragments => target.strip_prefix('#').is_some_and(|id| check_name(id).is_ok()),
        };
        if allowed {
            return Ok(format!("url(\"{target}\")"));
        }
        Err(custom(match self.urls {
            Urls::Pictures => {
                "a url() leads to a data:image/… that is no drawing or to /.well-known/tenantry/assets/…, and nowhere else"
            }
            Urls::Fragments => "a url() leads into the drawing itself, and nowhere else",
        }))
    }
}

/// Where a token stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Value,
    /// Within a function or brackets of a value.
    Inner,
    Condition,
}

impl Place {
    fn within(self) -> Self {
        if self == Self::Condition { self } else { Self::Inner }
    }
}

/// An identifier as it is written. Its characters are letters, digits, `-`, `_` and what is not ASCII, escaped or not.
pub(super) fn name(text: &str) -> Result<String, Fault> {
    check_name(text)?;
    let mut css = String::new();
    serialize_identifier(text, &mut css).map_err(|_| custom(ODD))?;
    Ok(css)
}

/// A text in quotes.
pub(super) fn string(text: &str) -> Result<String, Fault> {
    if text.chars().any(|c| c.is_control() || c == '<') {
        return Err(custom("a text has no control characters and no <"));
    }
    let mut css = String::new();
    serialize_string(text, &mut css).map_err(|_| custom(ODD))?;
    Ok(css)
}

/// A number with its unit, as it was written.
pub(super) fn number(text: &str) -> Result<&str, Fault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'%');
    if text.bytes().all(plain) { Ok(text) } else { Err(custom(ODD)) }
}

/// One blank, where there is something to keep apart.
pub(super) fn space(css: &mut String) {
    if !css.is_empty() && !css.ends_with([' ', '(', '[']) {
        css.push(' ');
    }
}

pub(super) fn check_name(text: &str) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (!c.is_ascii() && !c.is_control());
    if !text.is_empty() && text.chars().all(good) { Ok(()) } else { Err(custom("a name has letters, digits, - and _")) }
}

pub(super) fn custom(why: Why) -> Fault {
    ParseError::custom(why)
}

/// `data:` with a picture in it (RFC 2397), of characters that need no escaping in quotes. A drawing is none: it would come
/// by what cleans drawings.
fn is_picture(target: &str) -> bool {
    let Some(rest) = target.strip_prefix("data:image/") else { return false };
    let Some((head, data)) = rest.split_once(',') else { return false };
    let (media, parameters) = head.split_once(';').unwrap_or((head, ""));
    let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'<' | b'>' | b'\\');
    ["png", "jpeg", "gif", "webp", "avif"].contains(&media)
        && ["", "base64", "charset=utf-8", "utf8", "charset=utf-8;base64"].contains(&parameters)
        && data.bytes().all(good)
}

fn is_upload(target: &str) -> bool {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    target
        .strip_prefix("/.well-known/tenantry/assets/")
        .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(lower_hex))
}

const ODD: Why = "there is something in its value that is not understood";
const POSITIONS: [&str; 4] = ["static", "relative", "absolute", "sticky"];

/// In order, so that they can be searched.
const FUNCTIONS: &[&str] = &[
    "blur",
    "brightness",
    "calc",
    "circle",
    "clamp",
    "color",
    "color-mix",
    "conic-gradient",
    "contrast",
    "counter",
    "counters",
    "cubic-bezier",
    "drop-shadow",
    "ellipse",
    "fit-content",
    "grayscale",
    "hsl",
    "hsla",
    "hue-rotate",
    "hwb",
    "inset",
    "invert",
    "lab",
    "lch",
    "light-dark",
    "linear",
    "linear-gradient",
    "matrix",
    "matrix3d",
    "max",
    "min",
    "minmax",
    "oklab",
    "oklch",
    "opacity",
    "perspective",
    "polygon",
    "radial-gradient",
    "repeat",
    "repeating-conic-gradient",
    "repeating-linear-gradient",
    "repeating-radial-gradient",
    "rgb",
    "rgba",
    "rotate",
    "rotate3d",
    "rotatex",
    "rotatey",
    "rotatez",
    "saturate",
    "scale",
    "scale3d",
    "scalex",
    "scaley",
    "scalez",
    "sepia",
    "skew",
    "skewx",
    "skewy",
    "steps",
    "translate",
    "translate3d",
    "translatex",
    "translatey",
    "translatez",
    "var",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_in_order() {
        assert!(FUNCTIONS.is_sorted());
    }

    #[test]
    fn pictures_come_from_the_page_itself_or_from_uploads() {
        for good in ["data:image/png;base64,AAAA", "data:image/gif;base64,"] {
            assert!(is_picture(good), "{good}");
        }
        let upload = format!("/.well-known/tenantry/assets/{}", "a1".repeat(32));
        assert!(is_upload(&upload));
        for bad in [
            "data:text/html,x",
            "data:image/png",
            "data:image/png;base64,a\"b",
            "data:image/svg+xml,%3Csvg%3E",
            "data:image/svg+xml;base64,AAAA",
            "DATA:image/png,a",
            "https://evil.example/a.png",
            "//evil.example",
            "/a.png",
            "javascript:alert(1)",
            "/.well-known/tenantry/assets/../x",
            "",
        ] {
            assert!(!is_picture(bad) && !is_upload(bad), "{bad}");
        }
    }
}
