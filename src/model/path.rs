//! The path as routes and gates see it. A backend may decode `%65`, squeeze `//` or walk `..`; a gate that compared
//! the raw text could be walked around. What is forwarded stays as the client sent it.

use std::borrow::Cow;

/// A path in normal form: the unreserved characters that nobody needs to escape are decoded (RFC 3986 §2.3), escapes
/// that stay are in capitals (§6.2.2.1), dot segments (§5.2.4) and empty segments are gone. Reserved characters such as
/// `%2F` stay escaped: they are not separators. A path that is normal already, and plain, is not copied.
pub fn normal_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let decoded = decode_unreserved(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let directory = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    let slash = if directory && !segments.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{slash}", segments.join("/")))
}

/// What is no escape (`%`, `%zz`) stays as it is.
fn decode_unreserved(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let digits = tail.get(1..3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(char::from);
        let step = match (byte, digits) {
            (Some(c), _) if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~') => {
                out.push(c);
                3
            }
            (_, Some(hex)) => {
                out.push('%');
                out.push_str(&hex.to_ascii_uppercase());
                3
            }
            _ => {
                out.push('%');
                1
            }
        };
        rest = &tail[step..];
    }
    out.push_str(rest);
    out
}

/// The path as the most forgiving backend might read it: letter case, a closing slash, `;parameters`, backslashes and
/// escaped separators make no difference. Only gates compare in this form: one spelling too many asks for the plan, which
/// does no harm; one too few would let somebody through. A path that is plain already is not copied.
pub fn folded_path(path: &str) -> Cow<'_, str> {
    let plain = normal_path(path);
    if !plain.bytes().any(|b| b.is_ascii_uppercase() || matches!(b, b'%' | b'\\' | b';')) {
        return without_slash(plain);
    }
    let mut plain = plain.to_ascii_lowercase();
    for separator in ["%2f", "%5c", "\\"] {
        plain = plain.replace(separator, "/");
    }
    let segments = plain.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    let joined = segments.collect::<Vec<_>>().join("/");
    // What was an escaped separator may have hidden dots.
    without_slash(Cow::Owned(normal_path(&joined).into_owned()))
}

fn without_slash(path: Cow<'_, str>) -> Cow<'_, str> {
    match path {
        Cow::Borrowed(path) => Cow::Borrowed(path.strip_suffix('/').unwrap_or(path)),
        Cow::Owned(mut path) => {
            path.truncate(path.strip_suffix('/').unwrap_or(&path).len());
            Cow::Owned(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_path_meets_the_same_gate() {
        for (path, is) in [
            ("/analytics/export", "/analytics/export"),
            ("/analytics/%65xport", "/analytics/export"),
            ("/analytics/%2565xport", "/analytics/%2565xport"),
            ("//analytics///export", "/analytics/export"),
            ("/x/../analytics/./export", "/analytics/export"),
            ("/x/%2e%2E/analytics/export", "/analytics/export"),
            ("/../..", "/"),
            ("/analytics%2Fexport", "/analytics%2Fexport"),
            ("/a/", "/a/"),
            ("/a/.", "/a/"),
            ("/%", "/%"),
            ("/%zz%4", "/%zz%4"),
            ("/%+f%é", "/%+f%é"),
            ("/analytics%2fexport", "/analytics%2Fexport"),
            ("/é%c3%A9", "/é%C3%A9"),
            ("*", "*"),
        ] {
            assert_eq!(normal_path(path), is, "{path}");
        }
    }

    #[test]
    fn a_gate_sees_through_what_backends_forgive() {
        for path in [
            "/analytics/export",
            "/analytics/export/",
            "/Analytics/EXPORT",
            "/analytics%2Fexport",
            "/analytics%5cexport",
            "/analytics\\export",
            "/analytics;v=1/export;x",
            "/x%2F..%2Fanalytics/export",
        ] {
            assert_eq!(folded_path(path), "/analytics/export", "{path}");
        }
        assert_eq!(folded_path("/"), "");
        assert_ne!(folded_path("/analytics/exports"), "/analytics/export");
    }

    proptest! {
        #[test]
        fn a_path_that_is_not_copied_is_folded_as_any_other(path in "(/[a-z.]{0,3}){1,6}/?") {
            let folded = folded_path(&path).into_owned();
            prop_assert!(!folded.ends_with('/'));
            // In capitals it goes the long way.
            prop_assert_eq!(folded_path(&path.to_ascii_uppercase()), folded.as_str());
        }

        #[test]
        fn normal_is_idempotent_unless_an_escape_hid_another(path in "(/[a-z.]{0,3}(%2e|%41|%2F|%2f)?){1,6}") {
            let once = normal_path(&path).into_owned();
            prop_assert_eq!(normal_path(&once), once.as_str());
        }
    }
}
