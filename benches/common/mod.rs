//! What the benchmarks share: a source that answers from memory, so that the directory itself is measured.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenantry::clock::{Clock, Timestamp};
use tenantry::config::{Config, Sources};
use tenantry::directory::{Directory, DirectorySettings, Gate, GateSettings, Lookup, Source};
use tenantry::metrics::Metrics;
use tenantry::model::{
    Asset, Brand, Certificate, DirectoryStretch, HostClass, Hostname, Listed, PlanName, SessionId, Slug, Tenant,
    TenantId,
};
use tenantry::store::{News, StoreError};
use tenantry::traffic::Meters;
use uuid::Uuid;

/// `t<n>` is tenant `n`; every other slug and every domain outside `.shop.example` is nobody's.
pub struct Memory;

pub fn tenant(n: u128) -> Tenant {
    Tenant {
        id: TenantId(Uuid::from_u128(n)),
        plan: Some(PlanName::parse("growth").expect("a plan")),
        revision: 1,
        ..Tenant::new(Slug::parse(&format!("t{n}")).expect("a slug"), Timestamp(0))
    }
}

#[async_trait]
impl Source for Memory {
    async fn place(&self, lookup: &Lookup) -> Result<Option<TenantId>, StoreError> {
        Ok(match lookup {
            Lookup::Slug(slug) => slug.as_str().strip_prefix('t').and_then(|n| n.parse().ok()),
            Lookup::Domain(name) => name.as_str().ends_with(".shop.example").then_some(1),
        }
        .map(|n| TenantId(Uuid::from_u128(n))))
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        Ok(Some(tenant(id.0.as_u128())))
    }

    async fn certificate(&self, _: &str) -> Result<Option<Certificate>, StoreError> {
        Ok(None)
    }

    async fn challenge(&self, _: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn issuing(&self, _: &Hostname) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn asset(&self, _: &str) -> Result<Option<Asset>, StoreError> {
        Ok(None)
    }

    async fn listed(&self, _: Option<TenantId>, _: u32) -> Result<Vec<Listed>, StoreError> {
        Ok(Vec::new())
    }

    async fn directory(&self, _: Option<&Slug>, _: u32) -> Result<Option<DirectoryStretch>, StoreError> {
        Ok(None)
    }

    async fn listed_ends(&self, _: u32) -> Result<Vec<TenantId>, StoreError> {
        Ok(Vec::new())
    }

    async fn secret(&self, _: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
        Ok(None)
    }

    async fn ended_sessions(&self, _: Timestamp, _: usize) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        Ok(Vec::new())
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        Ok(0)
    }

    async fn news(&self, _: i64) -> Result<News, StoreError> {
        std::future::pending().await
    }

    async fn wait_for_news(&self, _: i64, _: Duration) {
        std::future::pending().await
    }
}

pub fn brand() -> Brand {
    Brand::for_base(Hostname::parse("connect.localhost").expect("a host name"))
}

/// A directory over `source` that can hold two million hosts and lets everybody guess.
pub fn directory(source: Arc<dyn Source>) -> Directory {
    let gate =
        GateSettings { concurrent: 64, wait: Duration::from_secs(10), rate: 1_000_000_000, burst: 1_000_000_000 };
    let settings = DirectorySettings {
        hosts: 2_000_000,
        tenants: 2_000_000,
        negatives: 65_536,
        negative_ttl: Duration::from_secs(3600),
        gate: gate.clone(),
    };
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let gate = Arc::new(Gate::new(&gate, Clock::system()));
    let meters = Arc::new(Meters::new("bench".into(), Clock::system()));
    Directory::new(source, &settings, brand(), gate, Clock::system(), metrics, meters)
}

/// The dev configuration, with the shipped plans.
pub fn config(routing: &str) -> Config {
    let sources =
        Sources::new(include_str!("../../config/dev/tenantry.toml"), routing, include_str!("../../config/plans.toml"));
    Config::parse(&sources, &|_| None).expect("the configuration")
}

/// Hosts with their classes, as the pipeline has them when it asks the directory.
pub fn hosts(count: usize) -> Vec<(Hostname, HostClass)> {
    let brand = brand();
    (0..count)
        .map(|n| {
            let host = Hostname::parse(&format!("t{n}.connect.localhost")).expect("a host name");
            let class = brand.classify(&host);
            (host, class)
        })
        .collect()
}

/// A cheap sequence that visits everything without a pattern that a cache could follow.
pub fn scatter(n: usize) -> usize {
    (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) as usize
}
