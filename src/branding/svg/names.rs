//! The elements and attributes of SVG 2 that a logo may have. What is not here is left out.

/// How the value of an attribute is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    /// Numbers, lengths, paths, transformations, keywords.
    Plain,
    Name,
    /// Free text, for people.
    Words,
    /// A property of CSS.
    Css,
    /// Declarations of CSS.
    Style,
    /// `#id`
    Reference,
}

/// The name under which an element stays. Links and alternatives stay as groups.
pub(super) fn element(name: &str) -> Option<&'static str> {
    match name {
        "a" | "switch" => Some("g"),
        _ => ELEMENTS.iter().find(|known| **known == name).copied(),
    }
}

pub(super) fn attribute(name: &str) -> Option<(&'static str, Sort)> {
    let of =
        |list: &'static [&'static str], sort| list.iter().find(|known| **known == name).map(|known| (*known, sort));
    of(PLAIN, Sort::Plain)
        .or_else(|| of(CSS, Sort::Css))
        .or_else(|| of(&["id", "class", "in", "in2", "result"], Sort::Name))
        .or_else(|| of(&["role", "aria-label", "aria-hidden"], Sort::Words))
        .or_else(|| of(&["style"], Sort::Style))
        .or_else(|| of(&["href"], Sort::Reference))
}

#[rustfmt::skip]
const ELEMENTS: &[&str] = &[
    "svg", "g", "defs", "symbol", "use", "title", "desc", "style",
    "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan",
    "linearGradient", "radialGradient", "stop", "clipPath", "mask", "pattern", "marker",
    "filter", "feBlend", "feColorMatrix", "feComponentTransfer", "feComposite", "feDropShadow", "feFlood", "feFuncA",
    "feFuncB", "feFuncG", "feFuncR", "feGaussianBlur", "feMerge", "feMergeNode", "feMorphology", "feOffset",
];

#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "fr", "d", "points", "width", "height",
    "viewBox", "preserveAspectRatio", "version", "transform", "gradientTransform", "patternTransform", "gradientUnits",
    "spreadMethod", "offset", "dx", "dy", "rotate", "textLength", "lengthAdjust", "pathLength", "clipPathUnits",
    "maskUnits", "maskContentUnits", "patternUnits", "patternContentUnits", "markerUnits", "markerWidth",
    "markerHeight", "refX", "refY", "orient", "filterUnits", "primitiveUnits", "stdDeviation", "mode", "operator",
    "type", "values", "tableValues", "slope", "intercept", "amplitude", "exponent", "k1", "k2", "k3", "k4", "radius",
];

#[rustfmt::skip]
const CSS: &[&str] = &[
    "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin",
    "stroke-miterlimit", "stroke-dasharray", "stroke-dashoffset", "stroke-opacity", "opacity", "color", "stop-color",
    "stop-opacity", "clip-path", "clip-rule", "mask", "mask-type", "filter", "flood-color", "flood-opacity",
    "marker-start", "marker-mid", "marker-end", "paint-order", "vector-effect", "color-interpolation",
    "color-interpolation-filters", "shape-rendering", "text-rendering", "font-family", "font-size", "font-style",
    "font-weight", "font-variant", "font-stretch", "letter-spacing", "word-spacing", "text-anchor", "text-decoration",
    "dominant-baseline", "alignment-baseline", "baseline-shift", "writing-mode", "direction", "display", "visibility",
    "overflow", "transform-origin", "mix-blend-mode", "isolation",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_runs_or_loads_is_known() {
        for name in ["script", "foreignObject", "image", "feImage", "animate", "set", "iframe", "handler", "textPath"] {
            assert_eq!(element(name), None, "{name}");
        }
        for name in ["onload", "onclick", "begin", "attributeName", "to", "src", "data", "target", "xml:base", "base"] {
            assert_eq!(attribute(name), None, "{name}");
        }
    }
}
