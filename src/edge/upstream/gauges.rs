//! How the backends of the pools in force are, told when Prometheus asks: what is shown is what is so at that moment,
//! whatever was reloaded or has run out meanwhile, and of a pool that is gone nothing is shown.

use std::sync::Weak;

use arc_swap::ArcSwap;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::roster::Condition;
use crate::edge::live::Live;
use crate::metrics::PoolMetrics;

/// A collector for the registry of the process.
pub struct Gauges {
    /// Weak: pools count in the registry that holds this.
    live: Weak<ArcSwap<Live>>,
    descs: Vec<Desc>,
}

impl Gauges {
    /// Tells of the pools that are in force whenever it is asked. The only errors are mistakes in the list of metrics.
    pub fn new(live: Weak<ArcSwap<Live>>) -> Result<Self, prometheus::Error> {
        let metrics = PoolMetrics::new()?;
        let descs = metrics.families().iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { live, descs })
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // They were made once already: the list has no mistakes.
        let (Some(live), Ok(metrics)) = (self.live.upgrade(), PoolMetrics::new()) else { return Vec::new() };
        for pool in &live.load().pools.0 {
            for condition in Condition::ALL {
                metrics.backends.with_label_values(&[&*pool.name, condition.as_str()]).set(0);
            }
            pool.roster.conditions(|address, condition| {
                metrics.backends.with_label_values(&[&*pool.name, condition.as_str()]).inc();
                if let Some(address) = address {
                    let healthy = i64::from(condition == Condition::Healthy);
                    metrics.healthy.with_label_values(&[&*pool.name, &address.to_string()]).set(healthy);
                }
            });
        }
        metrics.families().iter().flat_map(|family| family.collect()).collect()
    }
}
