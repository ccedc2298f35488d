//! A drawing (SVG 2) through an XML parser and out again by a whitelist of elements and attributes. No script, no
//! handler, no foreign content, no reference but into the drawing itself, no document type, no entity of its own. The
//! output is a fixed point: cleaned again, it is the same.

mod cost;
mod names;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use roxmltree::{Attribute, Document, Node, NodeId, ParsingOptions};

use self::names::{Sort, attribute, element};
use super::css::{drawing_declarations, drawing_stylesheet, drawing_value};

/// A drawing that may be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CleanSvg {
    pub text: String,
    /// In pixels, rounded up: what its root says, or its `viewBox`.
    pub width: u32,
    pub height: u32,
    /// Names of what was left out, each once.
    pub dropped: Vec<String>,
}

/// Why a drawing is not taken at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SvgError {
    #[error("it is no XML that is taken here: {0}")]
    Xml(String),
    #[error("its root is no svg element of the namespace http://www.w3.org/2000/svg")]
    NoRoot,
    #[error("its size is not known: the svg element needs width and height in pixels, or a viewBox")]
    NoSize,
    #[error("its elements are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    #[error("an element has at most {ATTRIBUTES_MAX} attributes, and one has more")]
    TooManyAttributes,
    #[error("it declares at most {NAMESPACES_MAX} namespaces, and this has more")]
    TooManyNamespaces,
    #[error("a filter has at most {max} steps, and one has more", max = cost::FILTER_STEPS_MAX)]
    TooManyFilterSteps,
    #[error(
        "what a use, mask, clip path, pattern, marker or filter draws refers to others more than {max} deep, or to itself",
        max = cost::LEVELS_MAX
    )]
    TooManyLevels,
    #[error("its uses, masks, clip paths, patterns, markers and filters draw too much: more than {max} elements", max = cost::DRAWN_MAX)]
    TooMuchDrawn,
}

const NAMESPACE: &str = "http://www.w3.org/2000/svg";
const XLINK: &str = "http://www.w3.org/1999/xlink";
/// A drawing with more is no logo.
const NODES_MAX: u32 = 50_000;
const DEPTH_MAX: usize = 64;
/// The parser compares each attribute of an element with all before it.
const ATTRIBUTES_MAX: usize = 200;
/// In the whole drawing: an element that declares one copies all that hold above it.
const NAMESPACES_MAX: usize = 100;
/// What spreads further is no blur, it is a wash.
const DEVIATION_MAX: f64 = 100.0;
/// Each draws what it points at once more.
const USES_MAX: usize = 100;
/// How much is told of what was left out.
const DROPPED_MAX: usize = 50;

pub fn drawing(text: &str) -> Result<CleanSvg, SvgError> {
    check_tags(text)?;
    // A document type would be the way to entities; without the option it is refused.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| SvgError::Xml(error.to_string()))?;
    let root = document.root_element();
    if !is_svg(&root) || root.tag_name().name() != "svg" {
        return Err(SvgError::NoRoot);
    }
    let (width, height) = size(&root).ok_or(SvgError::NoSize)?;
    let mut writer = Writer { users: users(&document), ..Writer::default() };
    writer.tree(root)?;
    // Of what is served, whatever it came from.
    cost::check(&writer.text)?;
    let dropped = writer.dropped.into_iter().take(DROPPED_MAX).collect();
    Ok(CleanSvg { text: writer.text, width, height, dropped })
}

/// Refuses, in one pass over the bytes, what the parser would take a square of the time for. The beginning of an element
/// is all between its `<` and the next `<` or `>` outside of quotes: well-formed XML has no `<` within (XML 1.0, 3.1), so
/// nothing before it can hide it.
fn check_tags(text: &str) -> Result<(), SvgError> {
    let mut namespaces = 0;
    for tag in text.split('<').skip(1).filter(|tag| !tag.starts_with(['!', '?', '/'])) {
        let (mut quote, mut attributes) = (None, 0);
        for (at, byte) in tag.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), byte) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => {
                    quote = Some(byte);
                    attributes += 1;
                }
                (None, b'>') => break,
                (None, b'x') if tag.as_bytes()[at..].starts_with(b"xmlns") => namespaces += 1,
                (None, _) => {}
            }
        }
        if attributes > ATTRIBUTES_MAX {
            return Err(SvgError::TooManyAttributes);
        }
    }
    if namespaces > NAMESPACES_MAX { Err(SvgError::TooManyNamespaces) } else { Ok(()) }
}

#[derive(Default)]
struct Writer {
    text: String,
    /// The ids of elements that `use` something, themselves or within.
    users: HashSet<String>,
    uses: usize,
    dropped: BTreeSet<String>,
}

/// What is still to be done, the last first: recursion would be as deep as somebody else's drawing.
enum Step<'d> {
    Open(Node<'d, 'd>, usize),
    Close(&'static str),
}

impl Writer {
    fn tree<'d>(&mut self, root: Node<'d, 'd>) -> Result<(), SvgError> {
        let mut steps = vec![Step::Open(root, 0)];
        while let Some(step) = steps.pop() {
            let (node, depth) = match step {
                Step::Open(node, depth) => (node, depth),
                Step::Close(name) => {
                    let _ = write!(self.text, "</{name}>");
                    continue;
                }
            };
            if depth > DEPTH_MAX {
                return Err(SvgError::TooDeep);
            }
            if node.is_text() {
                self.words(&node);
            }
            if !node.is_element() {
                continue;
            }
            let Some(name) = self.open(&node) else { continue };
            if name == "style" {
                // `<` of a combinator that is none is not in what comes out, so this cannot end the element.
                let css: String = node.children().filter_map(|child| child.text()).collect();
                let _ = write!(self.text, "{}</style>", escaped(&drawing_stylesheet(&css)));
                continue;
            }
            steps.push(Step::Close(name));
            let children: Vec<_> = node.children().collect();
            steps.extend(children.into_iter().rev().map(|child| Step::Open(child, depth + 1)));
        }
        Ok(())
    }

    /// Writes the beginning of an element that may stay.
    fn open(&mut self, node: &Node<'_, '_>) -> Option<&'static str> {
        let found = Some(node).filter(|node| is_svg(node)).and_then(|node| element(node.tag_name().name()));
        let Some(name) = found.filter(|name| *name != "use" || self.may_use(node)) else {
            self.dropped.insert(format!("<{}>", node.tag_name().name()));
            return None;
        };
        let _ = write!(self.text, "<{name}");
        if node.parent_element().is_none() {
            let _ = write!(self.text, " xmlns=\"{NAMESPACE}\"");
        }
        let mut written = HashSet::new();
        for attribute in node.attributes() {
            match cleaned(&attribute) {
                Some((attribute, value)) if written.insert(attribute) => {
                    let _ = write!(self.text, " {attribute}=\"{}\"", escaped(&value));
                }
                _ => {
                    self.dropped.insert(attribute.name().to_owned());
                }
            }
        }
        self.text.push('>');
        Some(name)
    }

    /// What draws something that draws something … multiplies: one step is all there is.
    fn may_use(&mut self, node: &Node<'_, '_>) -> bool {
        self.uses += 1;
        let cleaned = node.attributes().filter_map(|attribute| cleaned(&attribute)).find(|(name, _)| *name == "href");
        let target = cleaned.as_ref().and_then(|(_, href)| href.strip_prefix('#'));
        self.uses <= USES_MAX && target.is_some_and(|id| !self.users.contains(id))
    }

    fn words(&mut self, node: &Node<'_, '_>) {
        let within = node.parent_element().map(|parent| parent.tag_name().name().to_owned()).unwrap_or_default();
        let text = node.text().unwrap_or_default();
        if matches!(within.as_str(), "text" | "tspan" | "title" | "desc") {
            self.text.push_str(&escaped(text));
        } else if !text.trim().is_empty() {
            self.dropped.insert("text outside of <text>".to_owned());
        }
    }
}

/// The name under which an attribute stays, and its value.
fn cleaned(found: &Attribute<'_, '_>) -> Option<(&'static str, String)> {
    let plain = match found.namespace() {
        None => true,
        Some(XLINK) => found.name() == "href",
        Some(_) => false,
    };
    let (name, sort) = attribute(found.name()).filter(|_| plain)?;
    let value = found.value();
    let good = |extra: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
    let value = match sort {
        Sort::Plain if name == "stdDeviation" && !is_small(value) => None,
        Sort::Plain => {
            let is_plain = good(" \t\r\n+-.,%()") && !value.to_ascii_lowercase().contains("url");
            is_plain.then(|| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        }
        Sort::Name => (!value.is_empty() && good("-_. ")).then(|| value.to_owned()),
        Sort::Words => Some(value.chars().filter(|c| !c.is_control()).collect()),
        Sort::Css => drawing_value(name, value),
        Sort::Style => Some(drawing_declarations(value)).filter(|css| !css.is_empty()),
        Sort::Reference => (value.len() > 1 && value.starts_with('#') && good("#-_.")).then(|| value.to_owned()),
    }?;
    Some((name, value))
}

/// How far a blur spreads, in each direction.
fn is_small(deviation: &str) -> bool {
    let parts = deviation.split([' ', ',', '\t', '\n', '\r']).filter(|part| !part.is_empty());
    parts.map(str::parse::<f64>).all(|number| number.is_ok_and(|number| (0.0..=DEVIATION_MAX).contains(&number)))
}

fn is_svg(node: &Node<'_, '_>) -> bool {
    node.tag_name().namespace() == Some(NAMESPACE)
}

/// The ids of all elements with a `use` in them.
fn users(document: &Document<'_>) -> HashSet<String> {
    let mut seen: HashSet<NodeId> = HashSet::new();
    let mut users = HashSet::new();
    for node in document.descendants().filter(|node| node.tag_name().name() == "use") {
        // Whoever was seen before has told its own parents.
        for above in node.ancestors().take_while(|above| seen.insert(above.id())) {
            users.extend(above.attribute("id").map(str::to_owned));
        }
    }
    users
}

/// What the root says of its size.
fn size(root: &Node<'_, '_>) -> Option<(u32, u32)> {
    let pixels = |text: &str| text.trim().trim_end_matches("px").parse::<f64>().ok().filter(|n| *n > 0.0 && *n < 1e6);
    let said = |name| root.attribute(name).and_then(pixels);
    let (width, height) = match (said("width"), said("height")) {
        (Some(width), Some(height)) => (width, height),
        _ => {
            let numbers: Vec<&str> = root.attribute("viewBox")?.split([' ', ',']).filter(|n| !n.is_empty()).collect();
            let [_, _, width, height] = numbers.as_slice() else { return None };
            (pixels(width)?, pixels(height)?)
        }
    };
    Some((width.ceil() as u32, height.ceil() as u32))
}

/// For an attribute in double quotes, or between elements.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
