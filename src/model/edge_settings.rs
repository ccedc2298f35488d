//! What the edge does for one tenant beyond the configuration's routes: limits, who may come, CORS, maintenance,
//! redirects between its hosts, backends of its own. A tenant's settings are its own facts; what holds is the nearest
//! word over its parents, then its plan's: [`EdgePolicy`]. Nothing here names an address of a backend: tenants choose
//! among pools that the operator has declared.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::{Hostname, Plan, Tenant};

/// A tenant's own settings. What is left out is the parent's word, then the plan's, then the edge's default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeSettings {
    #[serde(skip_serializing_if = "LimitSettings::is_empty")]
    pub limits: LimitSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// A verified domain of the tenant that its other hosts redirect to. Never inherited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub primary_domain: Option<Hostname>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub www: Option<Www>,
    /// Pools of the configuration that take the place of others for this tenant: by the name that routes give, the one
    /// to use instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// Limits of a tenant or a plan. They hold on each node by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Requests a second that are sustained: the rate of a token bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub requests_per_second: Option<Cap>,
    /// Requests at once on top of the rate: the size of the bucket. Default: the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Requests under way at the same time, WebSockets not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub concurrent_requests: Option<Cap>,
    /// WebSockets open at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub websockets: Option<Cap>,
    /// Bytes of one request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body_bytes: Option<Cap>,
}

/// A number, or `"unlimited"`: the word that lifts a parent's or a plan's limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cap {
    Number(u64),
    Unlimited,
}

/// Who may come, by client address. A denied network stays out; with a list of allowed ones, only they come in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Networks (CIDR); empty: everybody.
    #[schema(value_type = Vec<String>)]
    pub allow: Vec<IpNet>,
    #[schema(value_type = Vec<String>)]
    pub deny: Vec<IpNet>,
}

/// CORS (<https://fetch.spec.whatwg.org/#http-cors-protocol>), answered by the edge. The tenant's own verified hosts are
/// always allowed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// `false`: the backends' own answers pass as they are.
    pub enabled: bool,
    /// Further origins: `https://app.example`, with a port if need be.
    pub origins: Vec<String>,
    pub methods: Vec<String>,
    /// Request headers that scripts may set. Empty: whatever they ask for.
    pub headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose: Vec<String>,
    pub credentials: bool,
    /// How long browsers remember a preflight's answer, in seconds.
    pub max_age: u32,
}

/// Maintenance: 503 with a page, for everybody but those who look after it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    pub enabled: bool,
    /// For visitors, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Retry-After`, in seconds.
    pub retry_after: u32,
    /// Networks that are served all the same.
    #[schema(value_type = Vec<String>)]
    pub allow: Vec<IpNet>,
}

/// Which of `example.com` and `www.example.com` redirects to the other, where both are the tenant's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Www {
    /// `example.com` redirects to `www.example.com`.
    Add,
    /// `www.example.com` redirects to `example.com`.
    Remove,
    /// Neither.
    Keep,
}

/// A share of the visitors goes to another pool, the same visitors each time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The pool, as routes name it, whose visitors are shared.
    pub of: String,
    /// The pool that gets the share.
    pub pool: String,
    /// 0–100.
    pub percent: u8,
}

/// What holds for a tenant at the edge: the nearest word over its parents, then its plan's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EdgePolicy {
    pub limits: Limits,
    pub access: Access,
    pub cors: Option<Cors>,
    pub maintenance: Option<Maintenance>,
    pub primary_domain: Option<Hostname>,
    pub www: Option<Www>,
    pub pools: BTreeMap<String, String>,
    pub canary: Option<Canary>,
}

/// Limits with nothing left to look up; `None`: unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    pub rate: Option<Rate>,
    pub concurrent_requests: Option<u64>,
    pub websockets: Option<u64>,
    pub body_bytes: Option<u64>,
}

/// A token bucket's rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub per_second: u32,
    /// At least 1.
    pub burst: u32,
}

impl EdgeSettings {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl LimitSettings {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each of `self`'s words, else `other`'s. A burst belongs to the rate beside it.
    fn or(self, other: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.or(other.requests_per_second),
            burst: if self.requests_per_second.is_some() { self.burst } else { self.burst.or(other.burst) },
            concurrent_requests: self.concurrent_requests.or(other.concurrent_requests),
            websockets: self.websockets.or(other.websockets),
            body_bytes: self.body_bytes.or(other.body_bytes),
        }
    }

    fn settle(self) -> Limits {
        let number = |cap: Option<Cap>| cap.and_then(Cap::number);
        let rate = number(self.requests_per_second).map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        Limits {
            rate: rate.map(|per_second| Rate { per_second, burst: self.burst.unwrap_or(per_second).max(1) }),
            concurrent_requests: number(self.concurrent_requests),
            websockets: number(self.websockets),
            body_bytes: number(self.body_bytes),
        }
    }
}

impl Cap {
    /// `None`: unlimited.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Unlimited => None,
        }
    }
}

impl Access {
    pub fn permits(&self, client: IpAddr) -> bool {
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }
}

impl EdgePolicy {
    /// `chain` starts with the tenant itself and ends with its topmost parent; `plan` is the one that holds for it.
    pub fn of(chain: &[&Tenant], plan: Option<&Plan>) -> Self {
        let own = chain.first().map(|tenant| &tenant.edge);
        let plan = plan.map(|plan| plan.limits).unwrap_or_default();
        let limits = chain.iter().fold(LimitSettings::default(), |nearer, tenant| nearer.or(tenant.edge.limits));
        Self {
            limits: limits.or(plan).settle(),
            access: nearest(chain, |edge| edge.access.clone()).unwrap_or_default(),
            cors: nearest(chain, |edge| edge.cors.clone()).filter(|cors| cors.enabled),
            maintenance: nearest(chain, |edge| edge.maintenance.clone()).filter(|maintenance| maintenance.enabled),
            primary_domain: own.and_then(|edge| edge.primary_domain.clone()),
            www: nearest(chain, |edge| edge.www),
            pools: nearest(chain, |edge| edge.pools.clone()).unwrap_or_default(),
            canary: nearest(chain, |edge| edge.canary.clone()).filter(|canary| canary.percent > 0),
        }
    }
}

fn nearest<T>(chain: &[&Tenant], word: impl Fn(&EdgeSettings) -> Option<T>) -> Option<T> {
    chain.iter().find_map(|tenant| word(&tenant.edge))
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            enabled: true,
            origins: Vec::new(),
            methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(str::to_owned).into(),
            headers: Vec::new(),
            expose: Vec::new(),
            credentials: false,
            max_age: 600,
        }
    }
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { enabled: true, message: None, retry_after: 300, allow: Vec::new() }
    }
}

impl Serialize for Cap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Unlimited => serializer.serialize_str(UNLIMITED),
        }
    }
}

impl<'de> Deserialize<'de> for Cap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Word {
            Number(u64),
            Text(String),
        }
        match Word::deserialize(deserializer) {
            Ok(Word::Number(number)) => Ok(Self::Number(number)),
            Ok(Word::Text(text)) if text == UNLIMITED => Ok(Self::Unlimited),
            _ => Err(serde::de::Error::custom("a limit is a whole number of 0 or more, or \"unlimited\"")),
        }
    }
}

const UNLIMITED: &str = "unlimited";

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> EdgeSettings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_not_set_is_not_written() {
        assert_eq!(serde_json::to_string(&EdgeSettings::default()).unwrap(), "{}");
        let text = r#"{"limits":{"requests_per_second":"unlimited","websockets":5},"www":"add"}"#;
        assert_eq!(serde_json::to_string(&settings(text)).unwrap(), text);
        for bad in [r#"{"limit":{}}"#, r#"{"limits":{"websockets":-1}}"#, r#"{"limits":{"websockets":"many"}}"#] {
            assert!(serde_json::from_str::<EdgeSettings>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_limit_counts_and_unlimited_is_a_word_too() {
        let limits = |json: &str| serde_json::from_str::<LimitSettings>(json).unwrap();
        let plan = limits(r#"{"requests_per_second":10,"burst":30,"body_bytes":100}"#);
        let rate = |own: &str| limits(own).or(plan).settle().rate.map(|rate| (rate.per_second, rate.burst));
        assert_eq!(rate("{}"), Some((10, 30)));
        assert_eq!(rate(r#"{"requests_per_second":50}"#), Some((50, 50)), "the plan's burst is not for another rate");
        assert_eq!(rate(r#"{"burst":5}"#), Some((10, 5)));
        assert_eq!(rate(r#"{"requests_per_second":"unlimited"}"#), None);
        assert_eq!(limits(r#"{"websockets":0}"#).or(plan).settle().websockets, Some(0));
        assert_eq!(limits("{}").or(plan).settle().body_bytes, Some(100));
    }

    #[test]
    fn denied_networks_stay_out_and_a_list_of_allowed_ones_keeps_the_others_out() {
        let access = |json: &str| serde_json::from_str::<Access>(json).unwrap();
        let (v4, v6) = ("192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert!(Access::default().permits(v4));
        assert!(!access(r#"{"deny":["192.0.2.0/24"]}"#).permits(v4));
        let only = access(r#"{"allow":["192.0.2.0/24"],"deny":["192.0.2.7/32"]}"#);
        assert!(!only.permits(v4) && only.permits("192.0.2.8".parse().unwrap()) && !only.permits(v6));
    }
}
