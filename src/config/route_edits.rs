//! The headers that a route asks for, removes and sets.

use http::{HeaderName, HeaderValue};

use super::routing::{HeaderEdits, HeaderMatch};
use super::section::{Section, describe};
use crate::model::is_contract_header;

const HEADER: &str = "the name of a header";
const VALUE: &str = "text in one line, without control characters";
const PRESENT: &str = "*";

/// `headers`: name = value, or name = "*" for any value.
pub(super) fn matches(section: &mut Section<'_>) -> Vec<HeaderMatch> {
    let pairs = pairs(section, "headers");
    pairs
        .into_iter()
        .map(|(name, value)| HeaderMatch { name, value: Some(value).filter(|value| value != PRESENT) })
        .collect()
}

/// `set_request_headers`, `remove_request_headers`.
pub(super) fn request(section: &mut Section<'_>) -> HeaderEdits {
    let remove = section.texts("remove_request_headers", HEADER, editable);
    HeaderEdits { remove, set: set(section, "set_request_headers") }
}

/// `set_response_headers`, `remove_response_headers`.
pub(super) fn response(section: &mut Section<'_>) -> HeaderEdits {
    let remove = section.texts("remove_response_headers", HEADER, editable);
    HeaderEdits { remove, set: set(section, "set_response_headers") }
}

fn set(section: &mut Section<'_>, key: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    let pairs = pairs(section, key);
    for (name, _) in &pairs {
        if let Err(why) = editable(name.as_str()) {
            section.fault(key, format!("{name}: {why}"));
        }
    }
    pairs
}

fn pairs(section: &mut Section<'_>, key: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    let entries = section.names(key, |section, name, spot, value| {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
        if parsed.is_none() {
            section.fault_at(spot, format!("found {name:?}, expected {HEADER}"));
        }
        let text = match value.as_str() {
            Some(text) => section.expanded(key, text),
            None => {
                section.fault_at(spot, format!("found {}, expected a text", describe(value)));
                None
            }
        };
        let value = text.and_then(|text| {
            // What was found may be a secret, put in by a variable.
            let refused = |_| section.fault_at(spot, format!("its value cannot be a header's: expected {VALUE}"));
            HeaderValue::from_str(&text).map_err(refused).ok()
        });
        Some((parsed?, value?))
    });
    entries.into_iter().flatten().collect()
}

/// Framing is the engine's, the contract with backends is the edge's.
fn editable(name: &str) -> Result<HeaderName, &'static str> {
    const FRAMING: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "")?;
    if FRAMING.contains(&name.as_str()) {
        return Err("it belongs to the connection, and no route can change it");
    }
    if is_contract_header(name.as_str()) {
        return Err("the edge itself sets it for backends, and no route can change it");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_edge_vouches_for_cannot_be_edited() {
        for name in ["X-Frame-Options", "server", "x-powered-by", "authorization"] {
            assert!(editable(name).is_ok(), "{name}");
        }
        for name in ["Host", "content-length", "X-Tenant-Id", "x_tenant_id", "forwarded", "traceparent", "a b", ""] {
            assert!(editable(name).is_err(), "{name}");
        }
    }
}
