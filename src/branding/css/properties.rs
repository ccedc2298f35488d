//! The properties that may be set, by their families: the first word of a name. What is not here is left out, above all
//! `behavior`, `-moz-binding` and whatever is thought of next.

/// Whether a property, in lower case, may be set. Custom properties may: their values pass the same whitelist, and
/// `position` does not take them.
pub(super) fn is_known(name: &str) -> bool {
    if name.starts_with("--") {
        return name.len() > 2;
    }
    let plain = name.strip_prefix("-webkit-").or_else(|| name.strip_prefix("-moz-")).unwrap_or(name);
    let family = plain.split('-').next().unwrap_or_default();
    FAMILIES.binary_search(&family).is_ok()
}

/// In order, so that they can be searched.
const FAMILIES: &[&str] = &[
    "accent",
    "align",
    "alignment",
    "animation",
    "appearance",
    "aspect",
    "backdrop",
    "backface",
    "background",
    "baseline",
    "block",
    "border",
    "bottom",
    "box",
    "caption",
    "caret",
    "clear",
    "clip",
    "color",
    "column",
    "columns",
    "content",
    "counter",
    "cursor",
    "direction",
    "display",
    "dominant",
    "empty",
    "fill",
    "filter",
    "flex",
    "float",
    "flood",
    "font",
    "gap",
    "grid",
    "height",
    "hyphens",
    "image",
    "inline",
    "inset",
    "isolation",
    "justify",
    "left",
    "letter",
    "lighting",
    "line",
    "list",
    "margin",
    "marker",
    "mask",
    "max",
    "min",
    "mix",
    "object",
    "opacity",
    "order",
    "orphans",
    "osx",
    "outline",
    "overflow",
    "overscroll",
    "padding",
    "paint",
    "perspective",
    "place",
    "pointer",
    "position",
    "quotes",
    "resize",
    "right",
    "rotate",
    "row",
    "scale",
    "scroll",
    "scrollbar",
    "shape",
    "stop",
    "stroke",
    "tab",
    "table",
    "text",
    "top",
    "transform",
    "transition",
    "translate",
    "unicode",
    "user",
    "vector",
    "vertical",
    "visibility",
    "white",
    "widows",
    "width",
    "will",
    "word",
    "writing",
    "z",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_in_order_and_the_dangerous_are_in_none() {
        assert!(FAMILIES.is_sorted());
        for name in ["color", "background-image", "-webkit-line-clamp", "-moz-osx-font-smoothing", "--brand", "z-index"]
        {
            assert!(is_known(name), "{name}");
        }
        for name in ["behavior", "-moz-binding", "-ms-behavior", "src", "", "--", "-webkit-", "-o-link", "all"] {
            assert!(!is_known(name), "{name}");
        }
    }
}
