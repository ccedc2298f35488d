//! A style sheet through a CSS parser (CSS Syntax Level 3) and out again by a whitelist: properties, functions, at-rules
//! and places that pictures come from. What is not on it is left out and told. The output is a fixed point: cleaned
//! again, it is the same.

mod properties;
mod selectors;
mod values;

#[cfg(test)]
mod tests;

use cssparser::{
    AtRuleParser, CowRcStr, DeclarationParser, ParseError, ParseErrorKind, Parser, ParserState, QualifiedRuleParser,
    RuleBodyItemParser, RuleBodyParser, SourceLocation, StyleSheetParser,
};

use self::values::{Urls, Values};

/// What every selector of a tenant's style sheet is put beneath: its own part of a page.
pub const SCOPE: &str = ".tenant-page";

/// A style sheet that may be served. It contains no `<`, so it cannot end the element that it stands in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CleanCss {
    pub css: String,
    pub dropped: Vec<Dropped>,
}

/// Something that was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// In the style sheet as it was sent, from 1.
    pub line: u32,
    /// The beginning of what was left out.
    pub text: String,
    pub why: &'static str,
}

/// Why something is left out.
type Why = &'static str;
type Fault = ParseError<Why>;

/// Of a page of the edge's: scoped beneath [`SCOPE`], pictures only from `data:` and from the tenant's own uploads.
pub fn stylesheet(css: &str) -> CleanCss {
    clean(css, Some(SCOPE), Urls::Pictures)
}

/// Of a drawing: not scoped, and with references into the drawing itself alone.
pub(super) fn drawing_stylesheet(css: &str) -> String {
    clean(css, None, Urls::Fragments).css
}

/// The declarations of a drawing's `style` attribute.
pub(super) fn drawing_declarations(css: &str) -> String {
    let mut rules = Rules::new(None, Urls::Fragments);
    declarations(&mut parser(css), &mut rules)
}

/// The value of a drawing's presentation attribute; `None` where it may not stay.
pub(super) fn drawing_value(property: &str, css: &str) -> Option<String> {
    let values = Values { urls: Urls::Fragments };
    values.of(property, &mut parser(css)).ok().filter(|value| !value.is_empty())
}

fn clean(css: &str, scope: Option<&'static str>, urls: Urls) -> CleanCss {
    let mut rules = Rules::new(scope, urls);
    let css = body(&mut parser(css), &mut rules);
    rules.dropped.sort_by_key(|dropped| dropped.line);
    CleanCss { css, dropped: rules.dropped }
}

fn parser(css: &str) -> Parser<'_> {
    let mut parser = Parser::new(css);
    parser.set_nested_block_limit(NESTING_MAX);
    parser
}

/// Rules one after the other: a style sheet, or what an `@media` holds.
fn body<'i>(input: &mut Parser<'i>, rules: &mut Rules) -> String {
    let mut css = String::new();
    let mut left_out = Vec::new();
    for rule in StyleSheetParser::new(input, rules) {
        match rule {
            Ok(rule) => css.push_str(&rule),
            Err(error) => left_out.push(dropped(error)),
        }
    }
    rules.dropped.extend(left_out);
    css
}

fn declarations<'i>(input: &mut Parser<'i>, rules: &mut Rules) -> String {
    let mut kept = Vec::new();
    let mut left_out = Vec::new();
    for declaration in RuleBodyParser::new(input, rules) {
        match declaration {
            Ok(declaration) => kept.push(declaration),
            Err(error) => left_out.push(dropped(error)),
        }
    }
    rules.dropped.extend(left_out);
    kept.join(";")
}

fn dropped((error, text, at): (Fault, &str, SourceLocation)) -> Dropped {
    let why = match error.kind {
        ParseErrorKind::Custom(why) => why,
        ParseErrorKind::Basic(_) => "it is not understood",
    };
    let text: String = text.trim().chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Dropped { line: at.line + 1, text, why }
}

/// What is inside of what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Sheet,
    Keyframes,
}

struct Rules {
    scope: Option<&'static str>,
    values: Values,
    inside: Inside,
    /// Whether the rule is for the tenant's part of the page itself, not only for what is in it.
    on_scope: bool,
    dropped: Vec<Dropped>,
}

/// The beginning of an at-rule that may stay.
struct AtRule {
    head: String,
    inside: Inside,
}

impl Rules {
    fn new(scope: Option<&'static str>, urls: Urls) -> Self {
        Self { scope, values: Values { urls }, inside: Inside::Sheet, on_scope: false, dropped: Vec::new() }
    }
}

impl<'i> QualifiedRuleParser<'i> for Rules {
    type Prelude = String;
    type QualifiedRule = String;
    type Error = Why;

    fn parse_prelude(&mut self, input: &mut Parser<'i>) -> Result<String, Fault> {
        match self.inside {
            Inside::Sheet => selectors::scoped(input, self.scope),
            Inside::Keyframes => selectors::keyframe(input),
        }
    }

    fn parse_block(&mut self, prelude: String, _: &ParserState, input: &mut Parser<'i>) -> Result<String, Fault> {
        // A comma within a selector makes pieces that are never the scope alone.
        self.on_scope = self.scope.is_some_and(|scope| prelude.split(',').any(|selector| selector == scope));
        let declarations = declarations(input, self);
        Ok(if declarations.is_empty() { String::new() } else { format!("{prelude}{{{declarations}}}\n") })
    }
}

impl<'i> AtRuleParser<'i> for Rules {
    type Prelude = AtRule;
    type AtRule = String;
    type Error = Why;

    fn parse_prelude(&mut self, name: CowRcStr<'i>, input: &mut Parser<'i>) -> Result<AtRule, Fault> {
        let refuse = |why| Err(ParseError::custom(why));
        if self.inside != Inside::Sheet {
            return refuse("an at-rule does not belong here");
        }
        match name.to_ascii_lowercase().as_str() {
            name @ ("media" | "supports") => {
                let condition = self.values.condition(input)?;
                Ok(AtRule { head: format!("@{name} {condition}"), inside: Inside::Sheet })
            }
            "keyframes" => {
                let head = format!("@keyframes {}", values::name(input.expect_ident()?)?);
                Ok(AtRule { head, inside: Inside::Keyframes })
            }
            "import" => refuse("@import loads another style sheet; put its rules here"),
            "font-face" => refuse("@font-face loads a font; the fonts of the visitor's system are there"),
            _ => refuse("of at-rules there are @media, @supports and @keyframes"),
        }
    }

    fn rule_without_block(&mut self, _: AtRule, _: &ParserState) -> Result<String, ()> {
        Err(())
    }

    fn parse_block(&mut self, rule: AtRule, _: &ParserState, input: &mut Parser<'i>) -> Result<String, Fault> {
        let before = std::mem::replace(&mut self.inside, rule.inside);
        let css = body(input, self);
        self.inside = before;
        Ok(if css.is_empty() { css } else { format!("{}{{\n{css}}}\n", rule.head) })
    }
}

impl<'i> DeclarationParser<'i> for Rules {
    type Declaration = String;
    type Error = Why;

    fn parse_value(&mut self, name: CowRcStr<'i>, input: &mut Parser<'i>, _: &ParserState) -> Result<String, Fault> {
        let name = if name.starts_with("--") { name.to_string() } else { name.to_ascii_lowercase() };
        let written = values::name(&name)?;
        if !properties::is_known(&name) {
            return Err(ParseError::custom("this property is not one of those that a tenant can set"));
        }
        let value = self.values.of(&name, input)?;
        if value.is_empty() {
            return Err(ParseError::custom("there is no value"));
        }
        if self.on_scope && name == "display" && value.to_ascii_lowercase().contains("contents") {
            return Err(ParseError::custom("what is in the tenant's part of the page stays in it"));
        }
        Ok(format!("{written}:{value}"))
    }
}

impl RuleBodyItemParser<'_, String, Why> for Rules {
    fn parse_declarations(&self) -> bool {
        true
    }

    fn parse_qualified(&self) -> bool {
        false
    }
}

/// Blocks within blocks; browsers have no use for more.
const NESTING_MAX: u8 = 16;
/// How much is shown of what was left out, in characters.
const EXCERPT: usize = 80;
