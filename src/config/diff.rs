//! What a new configuration changes, and what of it has to wait for a restart. Pure: two checked configurations in, names
//! out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Action, Config, PoolId, Route};

/// What is different, by name. Values are not shown: some are secret.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
pub struct Changes {
    /// Sections of `tenantry.toml`.
    pub sections: Vec<&'static str>,
    pub pools: Names,
    pub routes: Names,
    /// Routes are tried in another order, whether some are new or not.
    pub order: bool,
    pub plans: Names,
    /// The features, the licence, the default plan, the upgrade URL or the settings.
    pub catalogue: bool,
    /// What is different but stays as it was until the process is started again: sections, or single keys of one.
    pub needs_restart: Vec<&'static str>,
}

/// Things that have a name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
pub struct Names {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing is different but what has been waiting for a restart before.
    pub fn is_unchanged(&self) -> bool {
        Self { needs_restart: Vec::new(), ..self.clone() }.is_empty()
    }
}

impl Names {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn between<T: PartialEq>(old: Vec<(String, T)>, new: Vec<(String, T)>) -> Self {
        let (mut old, mut names): (BTreeMap<_, _>, _) = (old.into_iter().collect(), Self::default());
        for (name, new) in new {
            match old.remove(&name) {
                None => names.added.push(name),
                Some(old) if old != new => names.changed.push(name),
                Some(_) => {}
            }
        }
        names.removed = old.into_keys().collect();
        names
    }
}

/// From one loaded configuration to the next.
pub fn diff(old: &Config, new: &Config) -> Changes {
    let pools = |config: &'_ Config| -> Vec<_> {
        config.routing.pools.iter().map(|pool| (pool.name.clone(), pool.clone())).collect()
    };
    let plans = |config: &'_ Config| -> Vec<_> {
        config.catalogue.plans.iter().map(|plan| (plan.name.to_string(), plan.clone())).collect()
    };
    let order = |config: &Config| config.routing.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
    Changes {
        sections: sections(old, new),
        pools: Names::between(pools(old), pools(new)),
        routes: Names::between(routes(old), routes(new)),
        order: order(old) != order(new),
        plans: Names::between(plans(old), plans(new)),
        catalogue: (&old.catalogue.features, &old.catalogue.licence)
            != (&new.catalogue.features, &new.catalogue.licence)
            || old.settings != new.settings
            || old.catalogue.default_plan != new.catalogue.default_plan
            || old.catalogue.upgrade_url != new.catalogue.upgrade_url,
        needs_restart: hold_back(old, old, &mut new.clone()),
    }
}

/// Routes with the name of their pool: its place in the list is nobody's business.
fn routes(config: &Config) -> Vec<(String, (Route, Option<String>))> {
    let named = |route: &Arc<Route>| {
        let mut route = Route::clone(route);
        let mut pool = None;
        if let Action::Pool(id) = route.action {
            pool = config.routing.pool(id).map(|pool| pool.name.clone());
            route.action = Action::Pool(PoolId(0));
        }
        (route.name.to_string(), (route, pool))
    };
    config.routing.routes.iter().map(named).collect()
}

/// Declares the sections that are compared as wholes.
macro_rules! sections {
    ($($field:ident),+) => {
        fn sections(old: &Config, new: &Config) -> Vec<&'static str> {
            let mut changed = Vec::new();
            $( if old.$field != new.$field { changed.push(stringify!($field)); } )+
            changed
        }
    };
}
sections!(
    brand,
    listeners,
    admin,
    store,
    tls,
    limits,
    tenancy,
    audit,
    billing,
    headers,
    compression,
    directory,
    dns,
    outbound,
    domains,
    acme,
    log,
    traces,
    metrics,
    reload,
    process
);

/// Declares what is read once, when the process starts.
macro_rules! read_at_start {
    ($($name:literal => $($field:ident).+;)+) => {
        /// The sections of `tenantry.toml`, and single keys of others, that are read once, when the process starts.
        pub const READ_AT_START: &[&str] = &[$($name),+];

        /// Puts what `running` has in the place of everything in `next` that only a restart changes; names what of it
        /// `next` has otherwise than `loaded`, the configuration as it was read when `running` was built.
        pub fn hold_back(loaded: &Config, running: &Config, next: &mut Config) -> Vec<&'static str> {
            let mut held = Vec::new();
            $(
                if next.$($field).+ != loaded.$($field).+ {
                    held.push($name);
                }
                next.$($field).+ = running.$($field).+.clone();
            )+
            held
        }
    };
}
read_at_start! {
    "brand" => brand;
    "listener" => listeners;
    "admin" => admin;
    "store" => store;
    "tls" => tls;
    "directory" => directory;
    "dns" => dns;
    "outbound" => outbound;
    "acme" => acme;
    "reload" => reload;
    "traces" => traces;
    "headers.issuer" => headers.issuer;
    "limits.header_bytes" => limits.header_bytes;
    "limits.requests_per_connection" => limits.requests_per_connection;
    "limits.h2_streams" => limits.h2_streams;
}
