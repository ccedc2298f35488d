//! What the edge does for one tenant: its settings are replaced or patched as a whole, checked field by field, and in
//! force when the write is answered. What a setting means for a request is not known here.

use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Fault, Faults, TenancyError};
use super::{Actor, Done, Expect, Tenancy, TenantState, checks};
use crate::config::Config;
use crate::model::{Canary, Cors, DomainName, EdgeSettings, Hostname, Maintenance, Scope, TenantId};

/// The longest message of a maintenance page, in characters.
const MESSAGE_MAX: usize = 500;
/// The most networks, origins, methods or headers in one list.
const LIST_MAX: usize = 100;

impl Tenancy {
    /// Replaces a tenant's own settings.
    pub async fn set_edge(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        edge: EdgeSettings,
    ) -> Result<Done<TenantState>, TenancyError> {
        self.check_edge(key, &edge).await?;
        self.change(actor, key, expect, "tenant.edge", |tenant| {
            within_rights(actor, &tenant.edge, &edge)?;
            tenant.edge = edge;
            Ok(serde_json::json!({}))
        })
        .await
    }

    /// Changes what a JSON merge patch (RFC 7396) names: `null` takes a setting back, so that the parent's or the
    /// plan's word counts again.
    pub async fn patch_edge(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        patch: &Value,
    ) -> Result<Done<TenantState>, TenancyError> {
        if !patch.is_object() {
            let detail = "a merge patch is a JSON object";
            return Err(TenancyError::Invalid(vec![Fault::new("", "wrong-type", detail)]));
        }
        let before = self.find(key).await?;
        let patched = patched(&before.edge, patch)?;
        self.check_edge(key, &patched).await?;
        self.change(actor, key, expect, "tenant.edge", |tenant| {
            // Read again: somebody may have written since.
            let patched = self::patched(&tenant.edge, patch)?;
            within_rights(actor, &tenant.edge, &patched)?;
            tenant.edge = patched;
            Ok(serde_json::json!({}))
        })
        .await
    }

    async fn check_edge(&self, key: &str, edge: &EdgeSettings) -> Result<(), TenancyError> {
        let mut faults = Faults::default();
        check(edge, &self.config(), &mut faults);
        if let Some(domain) = &edge.primary_domain {
            let tenant = self.find(key).await?;
            if !self.holds(tenant.id, domain).await? {
                let detail = format!("{domain} is no verified domain of this tenant; verify it first");
                faults.add("/primary_domain", "not-verified", detail);
            }
        }
        faults.or(Some(()))
    }

    async fn holds(&self, tenant: TenantId, domain: &Hostname) -> Result<bool, TenancyError> {
        let held = self.store.held_domain(&DomainName::from(domain.clone())).await?;
        Ok(held.is_some_and(|domain| domain.tenant == tenant))
    }
}

/// What a tenant may take of the edge, and which backends it has, is the operators' to say.
fn within_rights(actor: &Actor, was: &EdgeSettings, edge: &EdgeSettings) -> Result<(), TenancyError> {
    let same = was.limits == edge.limits && was.pools == edge.pools && was.canary == edge.canary;
    match same || actor.rights.has(Scope::TenantsManage) {
        true => Ok(()),
        false => Err(TenancyError::Forbidden(vec![Scope::TenantsManage])),
    }
}

/// Settings with the patch applied, in their strict form.
pub(super) fn patched<T: Serialize + DeserializeOwned>(settings: &T, patch: &Value) -> Result<T, TenancyError> {
    let mut value = serde_json::to_value(settings).unwrap_or_default();
    merge(&mut value, patch);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let pointer = if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) };
        TenancyError::Invalid(vec![Fault::new(pointer, "invalid", error.inner().to_string())])
    })
}

/// RFC 7396 §2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, word) in patch {
        match word {
            Value::Null => {
                target.remove(key);
            }
            word => merge(target.entry(key).or_insert(Value::Null), word),
        }
    }
}

fn check(edge: &EdgeSettings, config: &Config, faults: &mut Faults) {
    if edge.limits.burst == Some(0) {
        faults.add("/limits/burst", "out-of-range", "a bucket holds at least one request");
    }
    if let Some(access) = &edge.access {
        check_networks("/access/allow", &access.allow, faults);
        check_networks("/access/deny", &access.deny, faults);
    }
    if let Some(cors) = &edge.cors {
        check_cors(cors, faults);
    }
    if let Some(maintenance) = &edge.maintenance {
        check_maintenance(maintenance, faults);
    }
    for (of, instead) in edge.pools.iter().flatten() {
        let pointer = format!("/pools/{}", of.replace('~', "~0").replace('/', "~1"));
        check_pool(&pointer, of, config, faults);
        check_pool(&pointer, instead, config, faults);
    }
    if let Some(Canary { of, pool, percent }) = &edge.canary {
        check_pool("/canary/of", of, config, faults);
        check_pool("/canary/pool", pool, config, faults);
        if *percent > 100 {
            faults.add("/canary/percent", "out-of-range", format!("a share is 0 to 100 percent, not {percent}"));
        }
    }
}

/// `10.1.2.3/8` may be meant as 10.1.2.3/32 or as 10.0.0.0/8.
fn check_networks(pointer: &str, networks: &[IpNet], faults: &mut Faults) {
    check_length(pointer, networks.len(), faults);
    for (index, network) in networks.iter().enumerate() {
        if network.trunc() != *network {
            let detail = format!("{network} has bits beyond its prefix; the network is {}", network.trunc());
            faults.add(format!("{pointer}/{index}"), "not-a-network", detail);
        }
    }
}

fn check_cors(cors: &Cors, faults: &mut Faults) {
    check_length("/cors/origins", cors.origins.len(), faults);
    for (index, origin) in cors.origins.iter().enumerate() {
        if let Err(why) = check_origin(origin) {
            faults.add(format!("/cors/origins/{index}"), "invalid-origin", format!("{origin:?}: {why}"));
        }
    }
    let tokens = [("/cors/methods", &cors.methods), ("/cors/headers", &cors.headers), ("/cors/expose", &cors.expose)];
    for (pointer, words) in tokens {
        check_length(pointer, words.len(), faults);
        for (index, word) in words.iter().enumerate() {
            if !is_token(word) {
                let detail = format!("{word:?} is no name of a method or a header");
                faults.add(format!("{pointer}/{index}"), "invalid-token", detail);
            }
        }
    }
    if cors.max_age > 86_400 {
        faults.add("/cors/max_age", "out-of-range", "browsers remember at most a day (86400 seconds)");
    }
}

/// An origin as browsers send it (RFC 6454 §6.2): scheme and host in lowercase, a port only where it is not the
/// scheme's own.
fn check_origin(origin: &str) -> Result<(), String> {
    const EXPECTED: &str = "an origin is https://host or http://host, with a port if need be and nothing behind it";
    let (scheme, authority) = origin.split_once("://").ok_or(EXPECTED)?;
    let default_port = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return Err(EXPECTED.into()),
    };
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    if port == Some(default_port) {
        return Err(format!("browsers leave the port {default_port} out"));
    }
    if port.is_some_and(|port| port.parse::<u16>().ok().is_none_or(|number| number == 0 || number.to_string() != port))
    {
        return Err(EXPECTED.into());
    }
    match Hostname::parse(host) {
        Ok(name) if name.as_str() == host => Ok(()),
        Ok(name) => Err(format!("browsers write the host as {name}")),
        Err(_) => Err(EXPECTED.into()),
    }
}

fn check_maintenance(maintenance: &Maintenance, faults: &mut Faults) {
    check_networks("/maintenance/allow", &maintenance.allow, faults);
    if let Some(message) = &maintenance.message {
        faults.take(checks::line("/maintenance/message", message, MESSAGE_MAX));
    }
    if !(1..=86_400).contains(&maintenance.retry_after) {
        faults.add("/maintenance/retry_after", "out-of-range", "1 second to a day (86400)");
    }
}

fn check_pool(pointer: &str, pool: &str, config: &Config, faults: &mut Faults) {
    if !config.routing.names.contains_key(pool) {
        let known: Vec<_> = config.routing.names.keys().map(String::as_str).collect();
        faults.add(pointer, "unknown-pool", format!("there is no pool {pool:?}; there are {}", known.join(", ")));
    }
}

fn check_length(pointer: &str, length: usize, faults: &mut Faults) {
    if length > LIST_MAX {
        faults.add(pointer, "too-long", format!("at most {LIST_MAX} of them, and these are {length}"));
    }
}

/// RFC 9110 §5.6.2.
fn is_token(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_changes_what_it_names_and_null_takes_it_back() {
        let edge: EdgeSettings =
            serde_json::from_value(json!({ "www": "add", "limits": { "websockets": 5, "burst": 2 } })).unwrap();
        let patch = json!({ "www": null, "limits": { "burst": 9 }, "maintenance": { "enabled": true } });
        let after = serde_json::to_value(patched(&edge, &patch).unwrap()).unwrap();
        assert_eq!(after["limits"], json!({ "websockets": 5, "burst": 9 }));
        assert_eq!(after.get("www"), None);
        assert_eq!(after["maintenance"]["retry_after"], 300);
        for (patch, pointer) in [
            (json!({ "limits": { "websockets": "x" } }), "/limits/websockets"),
            (json!({ "wwww": "add" }), "/wwww"),
            (json!({ "access": { "deny": ["10.0.0.0/99"] } }), "/access/deny[0]"),
        ] {
            let Err(TenancyError::Invalid(faults)) = patched(&edge, &patch) else { panic!("{patch}") };
            assert_eq!(faults[0].pointer.replace("/0", "[0]"), pointer, "{patch}");
        }
    }

    #[test]
    fn origins_are_as_browsers_send_them() {
        for origin in ["https://a.example", "http://localhost:3000", "https://a.example:8443"] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for origin in [
            "a.example",
            "https://A.example",
            "https://a.example/",
            "https://a.example:443",
            "ftp://a",
            "https://*",
            "null",
        ] {
            assert!(check_origin(origin).is_err(), "{origin}");
        }
    }
}
