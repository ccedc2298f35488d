//! Selectors (Selectors Level 4), put beneath the tenant's part of the page: what they find is never outside of it.

use cssparser::{Parser, Token};

use super::Fault;
use super::values::{custom, name, number, space, string};

/// A list of selectors, each beneath `scope`. `html`, `body` and `:root` at the front stand for the scope itself.
pub(super) fn scoped(input: &mut Parser<'_>, scope: Option<&str>) -> Result<String, Fault> {
    let mut list = Vec::new();
    let mut selector = Selector::default();
    while let Ok(token) = input.next_including_whitespace_and_comments().cloned() {
        match token {
            Token::Comma => list.push(std::mem::take(&mut selector).finish(scope)?),
            Token::WhiteSpace(_) | Token::Comment(_) => selector.combine(' ')?,
            Token::Delim(combinator @ ('>' | '+' | '~')) => selector.combine(combinator)?,
            token => simple(&token, input, selector.compound())?,
        }
    }
    list.push(selector.finish(scope)?);
    Ok(list.join(","))
}

/// `from`, `to` and percentages.
pub(super) fn keyframe(input: &mut Parser<'_>) -> Result<String, Fault> {
    let mut css = String::new();
    loop {
        input.skip_whitespace();
        let start = input.position();
        match input.next()? {
            Token::Percentage { .. } => css.push_str(number(input.slice_from(start))?),
            Token::Ident(word) if word.eq_ignore_ascii_case("from") => css.push_str("from"),
            Token::Ident(word) if word.eq_ignore_ascii_case("to") => css.push_str("to"),
            _ => return Err(custom("a keyframe is from, to or a percentage")),
        }
        if input.is_exhausted() {
            return Ok(css);
        }
        input.expect_comma()?;
        css.push(',');
    }
}

/// Compounds with what combines each with the one before.
#[derive(Default)]
struct Selector {
    parts: Vec<(char, String)>,
    pending: Option<char>,
}

impl Selector {
    fn combine(&mut self, combinator: char) -> Result<(), Fault> {
        match (self.pending, combinator) {
            (None | Some(' '), _) => self.pending = Some(combinator),
            (Some(_), ' ') => {}
            (Some(_), _) => return Err(custom("two combinators follow each other")),
        }
        Ok(())
    }

    /// What the next simple selector is added to.
    fn compound(&mut self) -> &mut String {
        match self.pending.take() {
            Some(combinator) => self.parts.push((combinator, String::new())),
            None if self.parts.is_empty() => self.parts.push((' ', String::new())),
            None => {}
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last].1
    }

    fn finish(self, scope: Option<&str>) -> Result<String, Fault> {
        let mut parts = self.parts;
        if parts.is_empty() || self.pending.is_some_and(|pending| pending != ' ') {
            return Err(custom("a selector is not complete"));
        }
        let Some(scope) = scope else { return Ok(joined(String::new(), &parts)) };
        let is_root = |compound: &str| {
            matches!(compound.to_ascii_lowercase().as_str(), "html" | "body" | ":root") || compound == scope
        };
        if matches!(parts[0].0, '+' | '~' | '>') {
            return Err(custom("a selector does not begin with a combinator"));
        }
        while is_root(&parts[0].1) {
            parts.remove(0);
            match parts.first() {
                None => return Ok(scope.to_owned()),
                Some((' ' | '>', _)) => {}
                Some(_) => return Err(custom("nothing beside the tenant's part of the page is the tenant's")),
            }
        }
        Ok(joined(scope.to_owned(), &parts))
    }
}

fn joined(mut css: String, parts: &[(char, String)]) -> String {
    for (combinator, compound) in parts {
        match (css.is_empty(), combinator) {
            (true, _) => {}
            (false, ' ') => css.push(' '),
            (false, combinator) => css.extend([' ', *combinator, ' ']),
        }
        css.push_str(compound);
    }
    css
}

/// One simple selector, or a piece of one.
fn simple(token: &Token<'_>, input: &mut Parser<'_>, css: &mut String) -> Result<(), Fault> {
    match token {
        Token::Ident(text) => css.push_str(&name(text)?),
        Token::IDHash(text) => {
            css.push('#');
            css.push_str(&name(text)?);
        }
        Token::Delim('*') => css.push('*'),
        Token::Delim('.') => {
            css.push('.');
            css.push_str(&name(&class(input)?)?);
        }
        Token::Colon => css.push(':'),
        Token::SquareBracketBlock => {
            css.push('[');
            input.parse_nested_block(|input| attribute(input, css))?;
            css.truncate(css.trim_end().len());
            css.push(']');
        }
        Token::Function(function) => {
            let function = function.to_ascii_lowercase();
            if !css.ends_with(':') || !PSEUDO_CLASSES.contains(&function.as_str()) {
                return Err(custom("this is not one of the pseudo-classes that a tenant can use"));
            }
            css.push_str(&function);
            css.push('(');
            input.parse_nested_block(|input| arguments(input, css))?;
            css.truncate(css.trim_end().len());
            css.push(')');
        }
        _ => return Err(custom("there is something in its selector that is not understood")),
    }
    Ok(())
}

/// A class follows its dot at once.
fn class(input: &mut Parser<'_>) -> Result<String, Fault> {
    match input.next_including_whitespace_and_comments()? {
        Token::Ident(text) => Ok(text.to_string()),
        _ => Err(custom("a class has a name")),
    }
}

fn attribute(input: &mut Parser<'_>, css: &mut String) -> Result<(), Fault> {
    while let Ok(token) = input.next_including_whitespace_and_comments().cloned() {
        match token {
            Token::WhiteSpace(_) | Token::Comment(_) => space(css),
            Token::Ident(text) => css.push_str(&name(&text)?),
            Token::QuotedString(text) => css.push_str(&string(&text)?),
            Token::Delim('=') => css.push('='),
            Token::IncludeMatch => css.push_str("~="),
            Token::DashMatch => css.push_str("|="),
            Token::PrefixMatch => css.push_str("^="),
            Token::SuffixMatch => css.push_str("$="),
            Token::SubstringMatch => css.push_str("*="),
            _ => return Err(custom("an attribute is compared with a name or a text")),
        }
    }
    Ok(())
}

/// What stands in the parentheses of a pseudo-class: selectors, or `2n + 1`.
fn arguments(input: &mut Parser<'_>, css: &mut String) -> Result<(), Fault> {
    loop {
        let start = input.position();
        let Ok(token) = input.next_including_whitespace_and_comments().cloned() else { return Ok(()) };
        match token {
            Token::WhiteSpace(_) | Token::Comment(_) => space(css),
            Token::Comma => css.push(','),
            Token::Delim(combinator @ ('>' | '+' | '~' | '-')) => css.push(combinator),
            Token::Number { .. } | Token::Dimension { .. } => css.push_str(number(input.slice_from(start))?),
            token => simple(&token, input, css)?,
        }
    }
}

const PSEUDO_CLASSES: [&str; 10] =
    ["not", "is", "where", "has", "nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type", "lang", "dir"];
