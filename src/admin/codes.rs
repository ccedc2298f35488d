//! Every `code` that a refusal of this API can have. They are a promise: one that is here keeps its meaning. A test reads the
//! source for codes that are not here.

use serde_json::{Value, json};

/// A code, and what it says.
pub struct Code {
    pub status: u16,
    pub code: &'static str,
    pub meaning: &'static str,
}

/// By status, then by code.
pub const CODES: &[Code] = &[
    of(400, "bad-idempotency-key", "Idempotency-Key is not 1 to 255 visible ASCII characters, or came twice"),
    of(400, "bad-if-match", "If-Match is no entity tag"),
    of(400, "bad-request", "The path, or the body as it came, cannot be read"),
    of(400, "bad-signature-header", "A header of the webhook's signature is not as it should be"),
    of(400, "invalid-parameter", "A parameter of the query is unknown or wrong; `errors` says which"),
    of(400, "malformed-json", "The body is not JSON"),
    of(400, "sign-in-not-begun", "The provider sent somebody back whom this browser did not send there"),
    of(401, "sign-in-refused", "The address and the password do not belong together"),
    of(401, "signature-mismatch", "No signature of the webhook fits its body and its secrets"),
    of(401, "signature-missing", "The webhook has no signature"),
    of(401, "signature-stale", "The webhook's timestamp is too far from now"),
    of(401, "unauthorized", "No token or session, or one that does not work"),
    of(
        402,
        "over-cap",
        "The plan's cap is reached; `cap`, `plans` and `upgrade_url` say more (409 where no plan has more)",
    ),
    of(402, "plan-required", "The plan lacks a feature; `feature`, `plans` and `upgrade_url` say more"),
    of(403, "csrf", "A write by a session's cookie came without its X-CSRF-Token, or from another site"),
    of(403, "insufficient-scope", "The caller does not hold what `scopes` names"),
    of(403, "outranked", "The role is above the caller's own; `role` and `own_role` say more"),
    of(403, "provider-refused", "The provider did not let them in, or does not vouch for their address"),
    of(403, "stranger", "The provider knows them, and nobody here does"),
    of(404, "billing-not-configured", "No billing system is configured"),
    of(404, "certificate-not-found", "There is no such certificate"),
    of(404, "domain-not-found", "There is no such domain"),
    of(404, "impersonation-not-found", "Nobody acts within a tenant by what was presented"),
    of(404, "invitation-not-found", "There is no such invitation, or its token counts no more"),
    of(404, "member-not-found", "There is no such member"),
    of(404, "no-session", "The call came with a token, and only people who sign in have a session"),
    of(404, "not-found", "There is nothing at this path"),
    of(404, "order-not-found", "No certificate is wanted for this name"),
    of(404, "password-token-not-found", "There is no such password token, or it counts no more"),
    of(404, "person-not-found", "There is nobody of that id or address"),
    of(404, "picture-not-found", "There is no such picture"),
    of(404, "provider-not-found", "No provider of that name is configured"),
    of(404, "role-not-found", "There is no such role"),
    of(404, "session-not-found", "There is no such session"),
    of(404, "tenant-not-found", "There is no such tenant, or none for this caller"),
    of(404, "token-not-found", "There is no token of that name"),
    of(404, "unit-not-found", "There is no such business unit"),
    of(405, "method-not-allowed", "The path does not take this method; Allow says which it takes"),
    of(409, "already-issued", "The certificate has been issued; renew it instead"),
    of(409, "already-revoked", "The certificate has been revoked before"),
    of(409, "ambiguous-domain", "Several tenants claim the name: say whose is meant"),
    of(409, "authority-refused", "The authority did not revoke the certificate"),
    of(409, "billing-ref-taken", "The billing system's name of the tenant is another tenant's"),
    of(409, "changed-meanwhile", "Something that the import relies on changed while it ran; nothing was imported"),
    of(409, "conflict", "What was asked for cannot be together with what is there"),
    of(409, "domain-exists", "The tenant has the domain, or a claim to it, already"),
    of(409, "domain-resting", "The name was released a short while ago, and rests"),
    of(409, "domain-taken", "The name belongs to another tenant"),
    of(409, "has-children", "The tenant has children: `children=true` deletes them as well"),
    of(409, "idempotency-answer-lost", "The call was done, and its answer was lost; look at what it made"),
    of(409, "idempotency-in-progress", "A call with this Idempotency-Key is under way; see Retry-After"),
    of(409, "invalid-transition", "The tenant's status does not allow it; `tenant_status` says which it has"),
    of(409, "invitation-exists", "Somebody of that address is invited already"),
    of(409, "last-owner", "They are the tenant's last owner"),
    of(409, "last-token", "It is the last token that may do everything"),
    of(409, "member-exists", "They belong to the tenant already"),
    of(409, "no-configuration-files", "The process was not started from files that could be read again"),
    of(409, "no-edge", "The process serves no visitors; ask one that has the edge role"),
    of(409, "no-operator-tenant", "`[tenancy] operator` names no tenant"),
    of(409, "not-active", "The member has been removed, or is about to be erased"),
    of(409, "not-held", "The name is not, or no longer, the tenant's"),
    of(409, "not-issued", "There is no certificate yet that could be renewed"),
    of(409, "not-ours", "The certificate's authority is not known here: it can only be put out of use"),
    of(409, "not-purging", "Nobody has asked to have the member erased"),
    of(409, "not-removed", "The member has not been removed, so cannot be restored or erased"),
    of(409, "not-replaceable", "The process cannot hand its sockets to another"),
    of(409, "not-uploaded", "The certificate was not brought by hand"),
    of(409, "operator-tenant", "It is the operators' own tenant"),
    of(409, "order-under-way", "Somebody works at the order at this moment"),
    of(409, "over-cap", "The plan's cap is reached, and no plan has more"),
    of(409, "person-disabled", "They cannot sign in at all"),
    of(409, "person-exists", "There is an account of that address"),
    of(409, "role-exists", "The tenant has a role of that name"),
    of(409, "role-in-use", "Members or invitations have the role"),
    of(409, "shared-certificate", "The certificate is for names of other tenants as well"),
    of(409, "sign-in-to-accept", "The invitation is accepted by signing in first"),
    of(409, "slug-taken", "The slug is, or was once, another tenant's"),
    of(409, "still-member", "They belong to a tenant: their memberships end first"),
    of(409, "token-exists", "There is a token of that name"),
    of(409, "too-many-children", "More tenants would go with it than are deleted at once"),
    of(409, "too-many-invitations", "More invitations are open than a tenant may have"),
    of(409, "too-many-roles", "The tenant has as many roles of its own as it may have"),
    of(409, "too-many-units", "The tenant has as many business units as it may have"),
    of(409, "unit-exists", "There is a unit of that name in the same place"),
    of(409, "unit-in-use", "The unit has members, invitations or units beneath it"),
    of(409, "unverified", "Nobody has verified that the account's address is its owner's"),
    of(409, "upgrade-under-way", "Another program is being started already"),
    of(409, "webhook-id-reused", "The webhook's id came with another message before"),
    of(412, "precondition-failed", "It has changed since: If-Match names another revision than `revision`"),
    of(413, "body-too-large", "The body is larger than this server takes"),
    of(415, "unsupported-media-type", "The body is not of a type that the operation takes"),
    of(422, "configuration-refused", "The files are wrong; `faults` has file, line and key of each fault"),
    of(422, "idempotency-key-reused", "The Idempotency-Key came with another request before"),
    of(422, "invalid", "Fields break a rule; `errors` names each by its JSON pointer"),
    of(429, "import-under-way", "One import at a time; see Retry-After"),
    of(429, "rate-limited", "Too often; see Retry-After"),
    of(429, "readings-under-way", "As many exports and checks of the ledger are under way as may be; see Retry-After"),
    of(500, "internal", "The system of record gave an answer that makes no sense; the log says more"),
    of(502, "provider-unreachable", "The provider of identities does not answer"),
    of(502, "provider-unusable", "The provider of identities answers with what cannot be used"),
    of(502, "upgrade-failed", "The new program did not come to serve; the old one goes on"),
    of(503, "store-unavailable", "The system of record cannot be reached; see Retry-After"),
    of(503, "timeout", "It took too long; look whether it was done before you try again"),
];

const fn of(status: u16, code: &'static str, meaning: &'static str) -> Code {
    Code { status, code, meaning }
}

/// For the description: by code, what it means and with which statuses it comes.
pub fn described() -> Value {
    let mut all = serde_json::Map::new();
    for Code { status, code, meaning } in CODES {
        let entry = all.entry(*code).or_insert_with(|| json!({ "statuses": [], "meaning": meaning }));
        if let Some(statuses) = entry["statuses"].as_array_mut() {
            statuses.push(json!(status));
        }
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Where refusals of this API are made: with a status here, as conflicts in the rooms behind it.
    const MADE: &[&str] = &[
        r#"Problem::new\(\s*StatusCode::[A-Z_]+,\s*"([a-z-]+)""#,
        r#"Self::new\(\s*StatusCode::[A-Z_]+,\s*"([a-z-]+)""#,
        r#"Self::new\(\s*status,\s*"([a-z-]+)""#,
        r#"Problem::unsigned\(\s*"([a-z-]+)""#,
        r#"Self::unsigned\(\s*"([a-z-]+)""#,
        r#"TenancyError::conflict\(\s*"[^"]*",\s*"([a-z-]+)""#,
        r#"=> "([a-z-]+-not-found)""#,
    ];

    fn sources(dir: &Path, texts: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => sources(&path, texts),
                Some(extension) if extension == "rs" => texts.push(std::fs::read_to_string(path).unwrap()),
                _ => {}
            }
        }
    }

    #[test]
    fn every_code_of_the_source_is_here_and_no_other() {
        let mut texts = Vec::new();
        for room in ["admin", "tenancy", "certificates", "domains", "acme", "audit"] {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut texts);
        }
        let made = MADE.iter().map(|pattern| regex::Regex::new(pattern).unwrap());
        let found: BTreeSet<String> = made
            .flat_map(|pattern| {
                let of = |text: &String| pattern.captures_iter(text).map(|c| c[1].to_owned()).collect::<Vec<_>>();
                texts.iter().flat_map(of).collect::<Vec<_>>()
            })
            .collect();
        let listed: BTreeSet<String> = CODES.iter().map(|code| code.code.to_owned()).collect();
        let (new, gone) =
            (found.difference(&listed).collect::<Vec<_>>(), listed.difference(&found).collect::<Vec<_>>());
        assert!(new.is_empty() && gone.is_empty(), "not listed: {new:?}; made nowhere: {gone:?}");
        assert!(CODES.is_sorted_by_key(|code| (code.status, code.code)));
    }
}
