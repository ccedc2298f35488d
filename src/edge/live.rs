//! What is in force: one configuration with everything that was built for it. Nothing is decided here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use super::series::RouteSeries;
use super::upstream::{PoolError, Pools, Surroundings};
use crate::config::Config;

/// One loaded configuration with its pools: swapped as a whole, loaded once per request.
pub struct Live {
    pub config: Arc<Config>,
    pub pools: Pools,
    pub routes: RouteSeries,
    /// `Strict-Transport-Security` of tenants' hosts.
    pub hsts: Option<HeaderValue>,
    /// Pools that tenants have and this configuration does not, as far as the log has told of them.
    missing: Mutex<BTreeSet<String>>,
}

impl Live {
    /// What may be put in force after `previous`, of which nothing is touched before [`Live::take_over`].
    pub fn build(config: &Arc<Config>, previous: Option<&Self>, around: &Surroundings) -> Result<Self, PoolError> {
        let pools = Pools::build(&config.routing, previous.map(|previous| &previous.pools), around)?;
        let routes = previous.map(|previous| &previous.routes);
        let routes = RouteSeries::new(&config.routing, routes, around.metrics());
        let hsts = config.tenancy.hsts.map(|age| HeaderValue::try_from(format!("max-age={}", age.as_secs())));
        let hsts = hsts.and_then(Result::ok);
        Ok(Self { config: Arc::clone(config), pools, routes, hsts, missing: Mutex::default() })
    }

    /// Whether nobody has been told yet that this pool is missing. What tenants name is bounded here.
    pub fn is_news(&self, pool: &str) -> bool {
        const MOST: usize = 100;
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.len() < MOST && !missing.contains(pool) && missing.insert(pool.to_owned())
    }

    /// This is in force from now on, in the place of `previous`.
    pub fn take_over(&self, previous: Option<&Self>, around: &Surroundings) {
        self.pools.take_over(previous.map(|previous| &previous.pools), around);
        if let Some(previous) = previous {
            self.routes.take_over(&previous.routes);
        }
    }
}
