//! What a route does with its requests: `pool`, `redirect` or `answer`, one of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::routing::{Action, Part, PoolId, Target};
use super::section::Section;

const POOL: &str = "the name of a [[pool]]";
const TARGET: &str = "a URL or a path such as \"https://www.example.com{path}{query}\"";
const MEDIA: &str = "a media type such as \"text/plain; charset=utf-8\"";
/// What a fixed answer may hold: it is kept in memory.
const LARGEST_BODY: usize = 64 << 10;

pub(super) fn read(section: &mut Section<'_>, pools: &BTreeMap<String, PoolId>) -> Option<Action> {
    let pool = section.text("pool", POOL, |name| {
        let known = || pools.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        pools.get(name).copied().ok_or_else(|| format!("there are {}", known()))
    });
    let redirect = section.optional_section("redirect", redirect).flatten();
    let answer = section.optional_section("answer", answer).flatten();
    let expected = format!("{POOL}; or a table [route.redirect] or [route.answer] instead");
    let only_one = "a route has a pool, a redirect or an answer, only one of them";
    let one = section.require_one_of(&["pool", "redirect", "answer"], &expected, only_one);
    if one { pool.map(Action::Pool).or(redirect).or(answer) } else { None }
}

/// `[route.redirect]`
fn redirect(section: &mut Section<'_>) -> Option<Action> {
    let to = section.required("to", TARGET, target);
    let status = section.number("status", 300..=399, 308u16);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        section.fault("status", format!("found {status}, expected one of 301, 302, 303, 307, 308"));
    }
    Some(Action::Redirect { status: StatusCode::from_u16(status).ok()?, to: to? })
}

/// `[route.answer]`
fn answer(section: &mut Section<'_>) -> Option<Action> {
    let status = section.number("status", 200..=599, 200u16);
    let media = |text: &str| match text.split_once('/') {
        Some((kind, rest)) if !kind.is_empty() && !rest.is_empty() => HeaderValue::from_str(text).map_err(|_| ""),
        _ => Err(""),
    };
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let content_type = section.text("content_type", MEDIA, media).unwrap_or(plain);
    let body = section.text("body", "a text of at most 64 KiB", |text| {
        if text.len() <= LARGEST_BODY { Ok(Bytes::copy_from_slice(text.as_bytes())) } else { Err("it is longer") }
    });
    let body = body.unwrap_or_default();
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        section.fault("body", format!("an answer of the status {status} has none"));
    }
    Some(Action::Answer { status: StatusCode::from_u16(status).ok()?, content_type, body })
}

/// A template. It begins with a scheme and host, or with a path: a redirect to `{path}` alone would lead a request for
/// `//evil.example` there.
fn target(text: &str) -> Result<Target, String> {
    let absolute = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let sound = match absolute {
        Some(rest) => !rest.is_empty() && !rest.starts_with(['/', '?', '#']) && !rest.starts_with("{path}"),
        None => text.starts_with('/') && !text.starts_with("//") && !text.starts_with("/{path}"),
    };
    if !sound || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it begins with https://, http:// or one slash".into());
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').ok_or("a `{` without its `}`")?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(match name {
            "host" => Part::Host,
            "path" => Part::Path,
            "query" => Part::Query,
            other => return Err(format!("{{{other}}} is unknown; there are {{host}}, {{path}} and {{query}}")),
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(Target(parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hostname;

    #[test]
    fn targets_are_filled_in() {
        let host = Hostname::parse("acme.example").unwrap();
        for (to, query, location) in [
            ("https://www.example.com{path}{query}", Some("a=1"), "https://www.example.com/x/y?a=1"),
            ("https://{host}/new{query}", None, "https://acme.example/new"),
            ("/moved", Some("a"), "/moved"),
        ] {
            assert_eq!(target(to).unwrap().fill(&host, "/x/y", query), location, "{to}");
        }
    }

    #[test]
    fn nobody_is_sent_where_the_request_says() {
        for to in ["{path}", "/{path}", "//evil.example", "https://{path}", "ftp://a", "x", "/a{b}", "/a{path", "/ä"] {
            assert!(target(to).is_err(), "{to}");
        }
    }
}
