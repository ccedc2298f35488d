//! Names of headers that only the edge may set: what backends are told about a request (design.md, *The header
//! contract*).

/// The family that only the edge, or a trusted proxy through it, may set.
pub const X_FORWARDED: &str = "x-forwarded-";

/// Whether a name means one of the headers that only the edge may set, in any spelling that CGI-style backends fold
/// together: `X-Tenant-Id`, `x_tenant.id`, …
pub fn is_contract_header(name: &str) -> bool {
    // The first byte rules out nearly everything.
    match name.as_bytes().first() {
        Some(b'x' | b'X') => {
            folded_eq(name, "x-tenant-", true)
                || folded_eq(name, X_FORWARDED, true)
                || folded_eq(name, "x-request-id", false)
                || folded_eq(name, "x-real-ip", false)
        }
        Some(b'f' | b'F') => folded_eq(name, "forwarded", false),
        Some(b't' | b'T') => folded_eq(name, "traceparent", false) || folded_eq(name, "tracestate", false),
        _ => false,
    }
}

/// Compares with case folded and every `_` or `.` read as `-`; `prefix` compares only the beginning.
fn folded_eq(name: &str, own: &str, prefix: bool) -> bool {
    let long_enough = if prefix { name.len() >= own.len() } else { name.len() == own.len() };
    long_enough
        && name.bytes().zip(own.bytes()).all(|(n, o)| {
            let n = if matches!(n, b'_' | b'.') { b'-' } else { n.to_ascii_lowercase() };
            n == o
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_could_pass_for_ours_are_ours() {
        for name in [
            "X-Tenant-Id",
            "x_tenant_id",
            "X.Tenant.Anything",
            "x-TENANT_",
            "X_Forwarded.For",
            "X-Forwarded-Prefix",
            "forwarded",
            "TraceParent",
        ] {
            assert!(is_contract_header(name), "{name}");
        }
        for name in ["X-Tenants", "X-Tenant", "Host", "X-Forwardedness", "Tracer", "Accept", "Y-Tenant-Id", "x"] {
            assert!(!is_contract_header(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_escapes(
            name in prop::sample::select(vec!["x-tenant-id", "x-tenant-assertion", "x-forwarded-for", "traceparent"]),
            folds in prop::collection::vec((any::<bool>(), 0..3usize), 24),
        ) {
            let spelled: String = name.chars().zip(&folds).map(|(c, (upper, dash))| match c {
                '-' => ['-', '_', '.'][*dash],
                c if *upper => c.to_ascii_uppercase(),
                c => c,
            }).collect();
            prop_assert!(is_contract_header(&spelled), "{}", spelled);
        }
    }
}
