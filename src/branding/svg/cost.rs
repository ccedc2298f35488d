//! How much a cleaned drawing draws. A `use`, mask, clip path, pattern, marker or filter draws what it names once more for
//! each that names it, and what it names may name others: a few lines multiply to minutes of a browser's time. Here all of it
//! is walked as a browser would, and given up as soon as it is too much. Nothing is changed here.

use std::collections::HashMap;

use roxmltree::{Document, Node, NodeId, ParsingOptions};

use super::{DEPTH_MAX, NODES_MAX, SvgError};

/// The most elements that are drawn because another one names them; a step of a filter counts as [`FILTER_STEP`].
pub(super) const DRAWN_MAX: usize = 50_000;
/// How deep what is named may name others: a clipped shape in a mask that is painted with a pattern.
pub(super) const LEVELS_MAX: usize = 4;
/// The most steps of one filter.
pub(super) const FILTER_STEPS_MAX: usize = 20;
/// A step of a filter works on each pixel.
const FILTER_STEP: usize = 250;

/// Refuses a drawing that draws too much. `text` is one that was cleaned: each reference of its style is `url("#id")`.
pub(super) fn check(text: &str) -> Result<(), SvgError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| SvgError::Xml(error.to_string()))?;
    let mut ids = HashMap::new();
    let mut sheet = Sheet::default();
    for node in document.descendants().filter(Node::is_element) {
        if let Some(id) = node.attribute("id") {
            ids.entry(id).or_insert(node);
        }
        match node.tag_name().name() {
            "style" => sheet.add(node.text().unwrap_or_default()),
            "filter" if node.children().filter(Node::is_element).count() > FILTER_STEPS_MAX => {
                return Err(SvgError::TooManyFilterSteps);
            }
            _ => {}
        }
    }
    let references = all_references(&document, &ids, sheet)?;
    let mut walk = Walk { ids, references, drawn: 0 };
    walk.element(document.root_element(), &[], Place { level: 0, depth: 0 })
}

/// What each element names, read once. One that names something draws it at least once, so more than may be drawn are too
/// many already.
fn all_references(
    document: &Document<'_>,
    ids: &HashMap<&str, Node<'_, '_>>,
    mut sheet: Sheet,
) -> Result<HashMap<NodeId, Vec<Reference>>, SvgError> {
    let draws = |reference: &Reference| match &reference.to {
        To::Filter => true,
        // Colours draw nothing themselves, and neither does what is not there.
        To::Element(id) | To::Copy(id) => {
            ids.get(id.as_str()).is_some_and(|node| !node.tag_name().name().ends_with("Gradient"))
        }
    };
    sheet.retain(draws);
    let mut count = 0;
    let mut references = HashMap::new();
    for node in document.descendants().filter(Node::is_element) {
        let mut found = written(&node);
        found.retain(draws);
        let by_sheet = sheet.of(&node);
        count += found.len() + by_sheet.iter().map(|list| list.len()).sum::<usize>();
        if count > DRAWN_MAX {
            return Err(SvgError::TooMuchDrawn);
        }
        found.extend(by_sheet.into_iter().flatten().cloned());
        if !found.is_empty() {
            references.insert(node.id(), found);
        }
    }
    Ok(references)
}

/// What an element names.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Reference {
    to: To,
    /// What is inside of the element is drawn with it as well.
    inherited: bool,
    /// Drawn at each point of a line.
    at_points: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum To {
    Element(String),
    /// A copy, which inherits from where it is put.
    Copy(String),
    /// A filter that has no element: `blur(2px)`, `drop-shadow(…)`.
    Filter,
}

#[derive(Clone, Copy)]
struct Place {
    level: usize,
    depth: usize,
}

struct Walk<'d> {
    ids: HashMap<&'d str, Node<'d, 'd>>,
    references: HashMap<NodeId, Vec<Reference>>,
    drawn: usize,
}

impl<'d> Walk<'d> {
    /// Draws an element with all that is in it. `above` is what it inherits.
    fn element(&mut self, node: Node<'d, 'd>, above: &[Reference], place: Place) -> Result<(), SvgError> {
        if place.level > LEVELS_MAX || place.depth > DEPTH_MAX {
            return Err(SvgError::TooManyLevels);
        }
        if place.level > 0 {
            self.draw(1)?;
        }
        let own = self.references.get(&node.id()).cloned().unwrap_or_default();
        let mut below = above.to_vec();
        below.extend(own.iter().filter(|reference| reference.inherited).cloned());
        for reference in own.iter().chain(above) {
            let times = if reference.at_points { points(&node) } else { 1 };
            for _ in 0..times {
                self.reference(&reference.to, &below, place.level)?;
            }
        }
        let deeper = Place { depth: place.depth + 1, ..place };
        node.children().filter(Node::is_element).try_for_each(|child| self.element(child, &below, deeper))
    }

    fn reference(&mut self, to: &To, here: &[Reference], level: usize) -> Result<(), SvgError> {
        self.draw(1)?;
        let (id, is_copy) = match to {
            To::Filter => return self.draw(FILTER_STEP),
            To::Element(id) => (id, false),
            To::Copy(id) => (id, true),
        };
        let Some(target) = self.ids.get(id.as_str()).copied() else { return Ok(()) };
        if target.tag_name().name() == "filter" {
            return self.draw(FILTER_STEP * target.children().filter(Node::is_element).count());
        }
        let within = Place { level: level + 1, depth: 0 };
        if is_copy {
            return self.element(target, here, within);
        }
        let around = target.ancestors().skip(1).filter_map(|node| self.references.get(&node.id())).flatten();
        let above: Vec<_> = around.filter(|reference| reference.inherited).cloned().collect();
        self.element(target, &above, within)
    }

    fn draw(&mut self, elements: usize) -> Result<(), SvgError> {
        self.drawn += elements;
        if self.drawn > DRAWN_MAX { Err(SvgError::TooMuchDrawn) } else { Ok(()) }
    }
}

/// What an element names itself.
fn written(node: &Node<'_, '_>) -> Vec<Reference> {
    let mut found = Vec::new();
    for attribute in node.attributes() {
        match attribute.name() {
            // A gradient's leads to another gradient.
            "href" if node.tag_name().name() == "use" => {
                let id = attribute.value().trim_start_matches('#').to_owned();
                found.push(Reference { to: To::Copy(id), inherited: false, at_points: false });
            }
            "style" => found.extend(declared(attribute.value())),
            name => found.extend(named(name, attribute.value())),
        }
    }
    found
}

/// How many points a line may have at the most.
fn points(node: &Node<'_, '_>) -> usize {
    let line = node.attribute("d").or_else(|| node.attribute("points")).unwrap_or_default();
    1 + line.len() / 2
}

/// What the declarations of a style name.
fn declared(css: &str) -> impl Iterator<Item = Reference> {
    css.split(';').flat_map(|declaration| {
        let (name, value) = declaration.split_once(':').unwrap_or_default();
        named(name, value)
    })
}

/// What the value of a property names. A property that is not known here (a variable, say) counts for the worst.
fn named(property: &str, value: &str) -> Vec<Reference> {
    let inherited = !matches!(property, "clip-path" | "mask" | "filter");
    let once = ["clip-path", "mask", "filter", "fill", "stroke", "marker-start", "marker-end"].contains(&property);
    let reference = |to| Reference { to, inherited, at_points: !once };
    let ids = value.split("url(\"#").skip(1).filter_map(|rest| rest.split('"').next());
    let functions = value.matches("blur(").count() + value.matches("drop-shadow(").count();
    let mut found: Vec<_> = ids.map(|id| reference(To::Element(id.to_owned()))).collect();
    found.extend(std::iter::repeat_n(reference(To::Filter), functions));
    found
}

/// What the rules of a drawing's style sheets name, by what they are for.
#[derive(Default)]
struct Sheet {
    classes: HashMap<String, Vec<Reference>>,
    ids: HashMap<String, Vec<Reference>>,
    types: HashMap<String, Vec<Reference>>,
    all: Vec<Reference>,
}

impl Sheet {
    /// Takes in a cleaned style sheet: a rule a line.
    fn add(&mut self, css: &str) {
        for rule in css.lines() {
            let Some((selectors, declarations)) = rule.split_once('{') else { continue };
            let found: Vec<_> = declared(declarations.trim_end_matches('}')).collect();
            if found.is_empty() {
                continue;
            }
            for selector in selectors.split(',') {
                self.under(selector).extend_from_slice(&found);
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&Reference) -> bool) {
        let lists = self.classes.values_mut().chain(self.ids.values_mut()).chain(self.types.values_mut());
        lists.chain([&mut self.all]).for_each(|list| list.retain(&keep));
    }

    /// Where to keep what a selector is for. Its last part says which elements it can be at all; one that is not plain may be
    /// any.
    fn under(&mut self, selector: &str) -> &mut Vec<Reference> {
        let last = selector.rsplit([' ', '>', '+', '~']).next().unwrap_or_default();
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '#');
        // `:hover` narrows what is before it.
        let last = last.split(':').next().unwrap_or_default();
        // What moves may be anything, too.
        let is_keyframe = matches!(selector, "from" | "to");
        if is_keyframe || selector.contains(['(', '[', '\\', '"']) || last.is_empty() || !last.chars().all(is_plain) {
            return &mut self.all;
        }
        let end = last.find(['.', '#']).unwrap_or(last.len());
        let (name, rest) = last.split_at(end);
        let word = rest.get(1..).unwrap_or_default().split(['.', '#']).next().unwrap_or_default().to_owned();
        match rest.chars().next() {
            Some('.') => self.classes.entry(word).or_default(),
            Some(_) => self.ids.entry(word).or_default(),
            None => self.types.entry(name.to_ascii_lowercase()).or_default(),
        }
    }

    fn of(&self, node: &Node<'_, '_>) -> Vec<&Vec<Reference>> {
        let mut found = vec![&self.all];
        found.extend(self.types.get(&node.tag_name().name().to_ascii_lowercase()));
        found.extend(node.attribute("id").and_then(|id| self.ids.get(id)));
        let classes = node.attribute("class").unwrap_or_default().split_ascii_whitespace();
        found.extend(classes.filter_map(|class| self.classes.get(class)));
        found
    }
}
