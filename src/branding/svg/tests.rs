//! A corpus of attacks by drawings, and properties of whatever comes out.

use proptest::prelude::*;

use super::*;

fn svg(inner: &str) -> String {
    format!("<svg xmlns=\"{NAMESPACE}\" xmlns:xlink=\"{XLINK}\" viewBox=\"0 0 10 20\">{inner}<circle r=\"1\"/></svg>")
}

#[test]
fn a_drawing_stays_what_it_was() {
    let inner = "<title>A &amp; B</title><defs><linearGradient id=\"g\"><stop offset=\"5%\" stop-color=\"#f00\"/>\
                 </linearGradient></defs><style>.a > .b{fill:url(#g)}</style><g class=\"a\" style=\"opacity:.5\">\
                 <path d=\"M0 0L1,1z\" fill=\"url(#g)\" transform=\"rotate(45)\"/><use xlink:href=\"#g\"/>\
                 <text x=\"1\">1 &lt; 2</text></g>";
    let clean = drawing(&svg(inner)).unwrap();
    assert_eq!((clean.width, clean.height), (10, 20));
    assert!(clean.dropped.is_empty(), "{:?}", clean.dropped);
    for kept in [
        "<title>A &amp; B</title>",
        "<stop offset=\"5%\" stop-color=\"#f00\">",
        ".a &gt; .b{fill:url(&quot;#g&quot;)}",
        "style=\"opacity:.5\"",
        "d=\"M0 0L1,1z\" fill=\"url(&quot;#g&quot;)\" transform=\"rotate(45)\"",
        "<use href=\"#g\">",
        "1 &lt; 2",
        "<circle r=\"1\"></circle>",
    ] {
        assert!(clean.text.contains(kept), "{kept} in {}", clean.text);
    }
    assert_eq!(drawing(&clean.text).unwrap().text, clean.text);
}

#[test]
fn attacks_are_left_out_and_told_and_the_rest_stays() {
    for attack in ATTACKS {
        let clean = drawing(&svg(attack)).unwrap_or_else(|error| panic!("{attack}: {error}"));
        check_harmless(&clean.text).unwrap_or_else(|what| panic!("{attack}: {what} in {}", clean.text));
        assert!(!clean.dropped.is_empty(), "{attack} is told: {}", clean.text);
        assert!(clean.text.contains("<circle"), "{}", clean.text);
        assert_eq!(drawing(&clean.text).unwrap().text, clean.text, "{attack}");
    }
}

#[test]
fn what_is_no_drawing_is_refused() {
    let doctype =
        "<!DOCTYPE svg [<!ENTITY x \"y\">]><svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\">&x;</svg>";
    let external = "<!DOCTYPE svg SYSTEM \"file:///etc/passwd\"><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\" height=\"1\"/>";
    for (text, is) in [
        (doctype, "no XML"),
        (external, "no XML"),
        ("<svg", "no XML"),
        ("", "no XML"),
        ("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\">&unknown;</svg>", "no XML"),
        ("<html xmlns=\"http://www.w3.org/1999/xhtml\"/>", "no svg element"),
        ("<svg viewBox=\"0 0 1 1\"/>", "no svg element"),
        ("<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "size is not known"),
        ("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100%\" height=\"100%\"/>", "size is not known"),
        ("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 -1 1\"/>", "size is not known"),
    ] {
        let error = drawing(text).unwrap_err().to_string();
        assert!(error.contains(is), "{text}: {error}");
    }
    let deep = format!("{}{}", "<g>".repeat(5_000), "</g>".repeat(5_000));
    assert_eq!(drawing(&svg(&deep)), Err(SvgError::TooDeep));
    let many = "<g/>".repeat(60_000);
    assert!(matches!(drawing(&svg(&many)), Err(SvgError::Xml(_))));
}

#[test]
fn what_multiplies_does_not() {
    // Ten that use ten that use ten … would be drawn 10^8 times.
    let mut inner = String::from("<g id=\"a0\"><rect/></g>");
    for level in 1..9 {
        let uses = format!("<use href=\"#a{}\"/>", level - 1).repeat(10);
        inner.push_str(&format!("<g id=\"a{level}\">{uses}</g>"));
    }
    let clean = drawing(&svg(&inner)).unwrap();
    let uses = clean.text.matches("<use href=\"#a0\">").count();
    assert_eq!((clean.text.matches("<use").count(), uses), (10, 10), "only those of what uses nothing stay");
    let own = drawing(&svg("<g id=\"x\"><use href=\"#x\"/></g>")).unwrap();
    assert!(!own.text.contains("<use"), "{}", own.text);
    let many = format!("<path id=\"p\"/>{}", "<use href=\"#p\"/>".repeat(1_000));
    assert_eq!(drawing(&svg(&many)).unwrap().text.matches("<use").count(), USES_MAX);
}

/// What took the parser minutes, in less than the two megabytes that an upload may have.
#[test]
fn what_the_parser_takes_a_square_of_the_time_for_is_refused_before_it() {
    let attributes: String = (0..70_000).map(|n| format!(" a{n}=\"\"")).collect();
    let namespaces: String = (0..150).map(|n| format!(" xmlns:n{n}=\"u\"")).collect();
    let again = "<g xmlns:q=\"u\"/>".repeat(101);
    for (inner, error) in [
        (format!("<g{attributes}/>"), SvgError::TooManyAttributes),
        (format!("<g b='>'{attributes}/>"), SvgError::TooManyAttributes),
        (format!("<!-- \" --><g{}/>", attributes.replace('"', "'")), SvgError::TooManyAttributes),
        (format!("<g{namespaces}/>"), SvgError::TooManyNamespaces),
        (again, SvgError::TooManyNamespaces),
    ] {
        assert_eq!(drawing(&svg(&inner)), Err(error), "{}", &inner[..40]);
    }
    let usual: String = (0..40).map(|n| format!(" data-{n}='a=\"b\">'")).collect();
    assert!(drawing(&svg(&format!("<g{usual}/>"))).is_ok());
}

/// Eight that are each masked by eight that are each masked by …
fn chain(levels: usize, named: &str, element: &str) -> String {
    let mut inner = format!("<{element} id=\"a0\">{}</{element}>", "<rect width=\"9\" height=\"9\"/>".repeat(8));
    for level in 1..=levels {
        let drawn =
            format!("<rect width=\"9\" height=\"9\" {}/>", named.replace('$', &(level - 1).to_string())).repeat(8);
        inner.push_str(&format!("<{element} id=\"a{level}\">{drawn}</{element}>"));
    }
    inner.push_str(&format!("<rect {}/>", named.replace('$', &levels.to_string())));
    inner
}

#[test]
fn what_is_drawn_again_and_again_is_counted_wherever_it_is_named() {
    for (named, element) in [
        ("mask=\"url(#a$)\"", "mask"),
        ("style=\"mask:url(#a$)\"", "mask"),
        ("style=\"--m:url(#a$);mask:var(--m)\"", "mask"),
        ("clip-path=\"url(#a$)\"", "clipPath"),
        ("fill=\"url(#a$)\"", "pattern"),
        ("stroke=\"url(#a$)\"", "pattern"),
        ("marker-start=\"url(#a$)\"", "marker"),
        ("class=\"x c$ y\"", "mask"),
        ("id=\"r$\"", "mask"),
    ] {
        let rules: String =
            (0..8).map(|n| format!(".c{n}{{mask:url(#a{n})}} g > #r{n}{{mask:url(#a{n})}}\n")).collect();
        for (levels, is_taken) in [(2, true), (7, false)] {
            let text = svg(&format!("<style>{rules}</style>{}", chain(levels, named, element)));
            assert_eq!(drawing(&text).is_ok(), is_taken, "{levels} levels of {named}: {:?}", drawing(&text));
        }
    }
    let wide = format!("<mask id=\"m\">{}</mask>{}", "<rect/>".repeat(500), "<rect mask=\"url(#m)\"/>".repeat(500));
    let within = format!(
        "<pattern id=\"m\">{}</pattern><g fill=\"url(#m)\">{}</g>",
        "<rect/>".repeat(500),
        "<rect/>".repeat(500)
    );
    let line =
        format!("<marker id=\"m\"><rect/></marker><path marker-mid=\"url(#m)\" d=\"M0 0{}\"/>", "h1v1".repeat(50_000));
    let everywhere = format!(
        "<style>.x rect:hover{{mask:url(#m)}}</style><mask id=\"m\"><circle/></mask>{}",
        "<rect/>".repeat(30_000)
    );
    for text in [wide, within, line, everywhere, "<path filter=\"blur(9px)\"/>".repeat(300)] {
        assert_eq!(drawing(&svg(&text)), Err(SvgError::TooMuchDrawn), "{}", &text[..60]);
    }
    for own in [
        "<mask id=\"m\"><rect mask=\"url(#m)\"/></mask><rect mask=\"url(#m)\"/>",
        "<style>*{mask:url(#m)}</style><mask id=\"m\"><rect/></mask>",
        "<style>rect:not(.a){mask:url(#m)}</style><mask id=\"m\"><rect/></mask>",
    ] {
        assert_eq!(drawing(&svg(own)), Err(SvgError::TooManyLevels), "{own}");
    }
}

#[test]
fn filters_are_short_and_spread_little() {
    let blur = |deviation: &str| {
        svg(&format!("<filter id=\"f\"><feGaussianBlur stdDeviation=\"{deviation}\"/></filter><g filter=\"url(#f)\"/>"))
    };
    assert!(drawing(&blur("4.5 2")).unwrap().text.contains("stdDeviation=\"4.5 2\""));
    for wild in ["101", "1e9", "1 500", "-1", "NaN", "inf"] {
        assert_eq!(drawing(&blur(wild)).unwrap().dropped, ["stdDeviation"], "{wild}");
    }
    let long = svg(&format!("<filter id=\"f\">{}</filter>", "<feGaussianBlur/>".repeat(21)));
    assert_eq!(drawing(&long), Err(SvgError::TooManyFilterSteps));
    let shadow = "<filter id=\"f\"><feFlood/><feOffset/><feGaussianBlur stdDeviation=\"2\"/><feBlend/></filter>";
    let shadows = |count: usize| svg(&format!("{shadow}{}", "<g filter=\"url(#f)\"><rect/></g>".repeat(count)));
    assert!(drawing(&shadows(30)).is_ok());
    assert_eq!(drawing(&shadows(60)), Err(SvgError::TooMuchDrawn));
}

#[rustfmt::skip]
const ATTACKS: &[&str] = &[
    "<script>alert(1)</script>",
    "<script href=\"https://evil.example/x.js\"/>",
    "<svg:script xmlns:svg=\"http://www.w3.org/2000/svg\">alert(1)</svg:script>",
    "<h:script xmlns:h=\"http://www.w3.org/1999/xhtml\">alert(1)</h:script>",
    "<SCRIPT>alert(1)</SCRIPT>",
    "<g onload=\"alert(1)\"/>",
    "<g ONCLICK=\"alert(1)\"/>",
    "<path d=\"M0 0\" onmouseover=\"alert(1)\"/>",
    "<foreignObject><iframe xmlns=\"http://www.w3.org/1999/xhtml\" src=\"javascript:alert(1)\"/></foreignObject>",
    "<image href=\"https://evil.example/a.png\"/>",
    "<image xlink:href=\"data:image/svg+xml;base64,AAAA\"/>",
    "<feImage href=\"https://evil.example/a.png\"/>",
    "<use href=\"https://evil.example/a.svg#x\"/>",
    "<use xlink:href=\"data:image/svg+xml,x#y\"/>",
    "<use href=\"javascript:alert(1)\"/>",
    "<use href=\"#x&#10;javascript:alert(1)\"/>",
    "<a href=\"javascript:alert(1)\"><text>click</text></a>",
    "<a xlink:href=\" java&#9;script:alert(1)\"><text>click</text></a>",
    "<animate attributeName=\"href\" to=\"javascript:alert(1)\"/>",
    "<set attributeName=\"onload\" to=\"alert(1)\"/>",
    "<handler type=\"text/javascript\">alert(1)</handler>",
    "<path d=\"M0 0\" fill=\"url(https://evil.example/#x)\"/>",
    "<path d=\"M0 0\" fill=\"u\\72l(https://evil.example/#x)\"/>",
    "<path d=\"M0 0\" style=\"fill:url(https://evil.example)\"/>",
    "<path d=\"url(evil)\"/>",
    "<path d=\"M0 0\" filter=\"url('//evil.example#f')\"/>",
    "<path d=\"M0 0\" style=\"behavior:url(x)\"/>",
    "<path d=\"M0 0\" id=\"x&quot; onload=&quot;alert(1)\"/>",
    "<g xml:base=\"https://evil.example/\"/>",
    "<metadata><x xmlns=\"y\">z</x></metadata>",
    "<iframe src=\"x\"/>",
    "<textPath href=\"https://evil.example\">x</textPath>",
    "<g>stray text</g>",
    "<path mask=\"url(data:image/svg+xml,x)\"/>",
];

#[test]
fn a_style_element_loads_nothing_and_ends_nothing() {
    for css in [
        "@import url(https://evil.example/x.css);.a{fill:red}",
        ".a{fill:red;background:url(https://evil.example/a.png)}",
        ".a{fill:red;content:'&lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;'}",
    ] {
        let clean = drawing(&svg(&format!("<style>{css}</style>"))).unwrap();
        check_harmless(&clean.text).unwrap();
        assert!(clean.text.contains("<style>.a{fill:red}\n</style>"), "{}", clean.text);
    }
}

/// What must not be in a drawing that is served, read by an XML parser.
fn check_harmless(text: &str) -> Result<(), String> {
    if text.contains("<!") || text.contains("<?") {
        return Err("a declaration".into());
    }
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    for node in document.descendants().filter(|node| node.is_element()) {
        let name = node.tag_name();
        if name.namespace() != Some(NAMESPACE) || element(name.name()) != Some(name.name()) {
            return Err(format!("<{}>", name.name()));
        }
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value().to_ascii_lowercase());
            if name.to_ascii_lowercase().starts_with("on") || attribute.namespace().is_some() {
                return Err(name.to_owned());
            }
            if name == "href" && !value.starts_with('#') {
                return Err(format!("href {value}"));
            }
            if !["aria-label", "role"].contains(&name) && value.contains("script:") {
                return Err(format!("{name}={value}"));
            }
            if name != "aria-label"
                && value.contains("url(")
                && value.matches("url(").count() != value.matches("url(\"#").count()
            {
                return Err(format!("{name}={value}"));
            }
        }
        if name.name() == "style" && node.text().is_some_and(|css| css.contains("@import") || css.contains("//")) {
            return Err("a style sheet that loads".into());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_goes_in_comes_out_harmless_and_stays_as_it_is(elements in prop::collection::vec(piece(), 0..12)) {
        let Ok(clean) = drawing(&svg(&elements.concat())) else { return Ok(()) };
        prop_assert_eq!(check_harmless(&clean.text), Ok(()), "{}", clean.text);
        let again = drawing(&clean.text).unwrap();
        prop_assert_eq!(&again.text, &clean.text);
        prop_assert!(again.dropped.is_empty(), "{:?} of {}", again.dropped, clean.text);
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        prop_assert!(drawing(&text).is_err());
    }
}

/// An element of any kind with attributes of any kind.
fn piece() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "g",
        "path",
        "use",
        "script",
        "style",
        "a",
        "image",
        "text",
        "title",
        "foreignObject",
        "animate",
        "filter",
        "switch",
    ]);
    let attributes = prop::sample::select(vec![
        "id",
        "class",
        "style",
        "fill",
        "d",
        "href",
        "xlink:href",
        "onload",
        "transform",
        "mask",
        "x",
        "width",
        "xml:space",
        "aria-label",
    ]);
    let values = prop_oneof![
        prop::sample::select(vec![
            "#a",
            "url(#a)",
            "url(https://evil)",
            "javascript:alert(1)",
            "M0 0 L1 1",
            "red",
            "fill:red;behavior:url(x)",
            "rotate(45 1,1)",
            "&#x3c;script&#x3e;",
            "a b",
            "url(",
            "\\72",
            "//evil",
            "&quot; onload=&quot;x",
            "10px",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9:/#()., ;\\\\]{0,12}",
    ];
    let texts = prop_oneof![Just(String::new()), Just(".a{fill:red}".to_owned()), "[a-z{}:;@#()/. ]{0,16}"];
    (names, prop::collection::btree_map(attributes, values, 0..4), texts).prop_map(|(name, attributes, text)| {
        let attributes: String = attributes.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
        format!("<{name}{attributes}>{text}</{name}>")
    })
}
