//! What of a request's target may stand in a log or a trace: the path without what the rules call secret, and the query
//! only where the operator wants it, its secrets struck out. Nothing here judges requests.

use std::borrow::Cow;

use http::Uri;

use crate::config::{Log, LogPattern};
use crate::model::normal_path;

/// What stands in the place of a secret.
const STRUCK: &str = "***";

/// The path, with whatever a rule matches struck out. Rules are held against the path in the normal form by which it was
/// routed, which no spelling of it escapes, and that is what is written where one matches; then against the path as it came.
pub fn path<'t>(log: &Log, target: &'t Uri) -> Cow<'t, str> {
    let raw = target.path();
    let struck = strike_all(log, &normal_path(raw)).or_else(|| strike_all(log, raw));
    struck.map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// `None` where no rule matches.
fn strike_all(log: &Log, path: &str) -> Option<String> {
    log.redact_paths.iter().fold(None, |struck: Option<String>, rule| {
        let next = strike(rule, struck.as_deref().unwrap_or(path));
        next.or(struck)
    })
}

/// The query, where it is to be written at all: the values of secret parameters struck out.
pub fn query(log: &Log, target: &Uri) -> Option<String> {
    let query = target.query().filter(|_| log.query)?;
    let mut out = String::with_capacity(query.len());
    // Some servers part by `;`, and a URL within a value brings parameters of its own behind a `?`.
    for piece in query.split_inclusive(['&', ';', '?']) {
        let pair = piece.trim_end_matches(['&', ';', '?']);
        let end = &piece[pair.len()..];
        match pair.split_once('=') {
            Some((name, _)) if is_secret(&log.redact, name) => {
                out.push_str(name);
                out.push('=');
                out.push_str(STRUCK);
            }
            // A word without `=` is all value or all name; which, nobody knows.
            None if is_secret(&log.redact, pair) => out.push_str(STRUCK),
            _ => out.push_str(pair),
        }
        out.push_str(end);
    }
    Some(out)
}

fn is_secret(words: &[String], name: &str) -> bool {
    // An escape could hide any letter of a word.
    let name = name.to_ascii_lowercase();
    name.contains('%') || words.iter().any(|word| name.contains(word.as_str()))
}

/// `None` where the rule matches nowhere. Its groups are struck out, or all that it matches when it has none.
fn strike(rule: &LogPattern, path: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    for found in rule.regex().captures_iter(path) {
        let groups: Vec<_> = match rule.regex().captures_len() {
            1 => found.get(0).into_iter().collect(),
            _ => found.iter().skip(1).flatten().collect(),
        };
        // A group within another has gone with it.
        for group in groups.into_iter().filter(|group| !group.is_empty()) {
            if group.start() >= copied {
                out.push_str(path.get(copied..group.start())?);
                out.push_str(STRUCK);
                copied = group.end();
            }
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(path.get(copied..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn log(toml: &str) -> Log {
        let tenantry = include_str!("../../config/dev/tenantry.toml").replace("[log]", &format!("[log]\n{toml}"));
        let routing = include_str!("../../config/dev/routing.toml");
        let sources = Sources::new(&tenantry, routing, include_str!("../../config/plans.toml"));
        Config::parse(&sources, &|_| None).unwrap_or_else(|faults| panic!("{faults}")).log
    }

    #[test]
    fn queries_are_written_only_where_wanted_and_without_their_secrets() {
        let silent = log("");
        assert_eq!(query(&silent, &Uri::from_static("/a?b=c")), None);
        let loud = log("query = true");
        for (target, expected) in [
            ("/a?b=c&d", "b=c&d"),
            ("/a?token=x", "token=***"),
            ("/a?access_token=x&page=2", "access_token=***&page=2"),
            ("/a?API-KEY=x=y&z=1", "API-KEY=***&z=1"),
            ("/a?%74oken=x", "%74oken=***"),
            ("/a?token", "***"),
            ("/a?page=1;token=x;z", "page=1;token=***;z"),
            ("/a?next=/login?token=x&page=2", "next=/login?token=***&page=2"),
            ("/a?url=https://b/?code=x;y?sig=z", "url=https://b/?code=***;y?sig=***"),
            ("/a?b=?", "b=?"),
            ("/a?", ""),
        ] {
            assert_eq!(query(&loud, &target.parse().unwrap()).as_deref(), Some(expected), "{target}");
        }
        let own = log("query = true\nredact = [\"pin\"]");
        assert_eq!(query(&own, &Uri::from_static("/?pin=1&token=2")).as_deref(), Some("pin=***&token=2"));
    }

    #[test]
    fn paths_lose_what_a_rule_matches() {
        let rules = log(r#"redact_paths = ['^/invite/([^/]+)', '[0-9a-f]{16,}', '^/(u)/((.)x)$']"#);
        for (target, expected) in [
            ("/invite/s3cret/accept?x=y", "/invite/***/accept"),
            ("/files/0123456789abcdef0/1", "/files/***/1"),
            ("/invite/a/0123456789abcdef", "/invite/***/***"),
            ("/u/yx", "/***/***"),
            ("//invite/s3cret", "/invite/***"),
            ("/%69nvite/s3cret/accept", "/invite/***/accept"),
            ("/x/../invite/./s3cret", "/invite/***"),
            ("//plain//a", "//plain//a"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(path(&rules, &target.parse().unwrap()), expected, "{target}");
        }
    }
}
