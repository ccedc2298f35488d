//! The import of tenants: the same rules as for one, for very many.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::json;

use super::error::{Fault, TenancyError};
use super::import::{Column, Imported, Line, Seen, Sorted, Table, sha256};
use super::lineage::{Known, MAX_DEPTH, parents_in};
use super::parent::not_beneath_gone;
use super::tenants::{Checked, check, no_parent};
use super::{Actor, Done, NewTenant, Tenancy};
use crate::model::{Status, Tenant, TenantId};
use crate::store::Write;

const COLUMNS: &[Column] = &[
    Column { name: "slug", required: true },
    Column { name: "name", required: true },
    Column { name: "plan", required: false },
    Column { name: "parent", required: false },
    Column { name: "status", required: false },
    Column { name: "trial_days", required: false },
];

/// A tenant that others of the table are beneath, or may be: how many generations there are above it.
struct Parent {
    id: TenantId,
    depth: usize,
    /// Why nothing begins beneath it.
    gone: Option<Fault>,
}

/// What the first look at a table has found.
struct Survey {
    rows: u64,
    /// Parents that are in the store, by what the table calls them.
    stored: HashMap<String, Parent>,
    /// Slugs of the table that others in it are beneath.
    above: HashSet<String>,
    /// How many generations are above each tenant of the table that has any.
    depths: HashMap<String, usize>,
}

impl Tenancy {
    /// Looks at a table of tenants, and changes nothing: all faults, or what would come of it.
    pub async fn check_tenants(&self, table: &[u8]) -> Result<Imported, TenancyError> {
        let survey = self.survey(table).await?;
        Ok(Imported { rows: survey.rows, sha256: sha256(table) })
    }

    /// Imports a table of tenants, whole or not at all. A parent is in the store, or in a line above.
    pub async fn import_tenants(&self, actor: &Actor, table: &[u8]) -> Result<Done<Imported>, TenancyError> {
        let survey = self.survey(table).await?;
        let config = self.config();
        let (sha256, now) = (sha256(table), self.clock.now());
        let mut write = self.store.bulk().await?;
        let parents: BTreeSet<TenantId> = survey.stored.values().map(|parent| parent.id).collect();
        if write.present(&parents.iter().copied().collect::<Vec<_>>()).await?.len() < parents.len() {
            return Err(changed("a parent has gone"));
        }
        let mut ids: HashMap<String, TenantId> = HashMap::new();
        // Parents before those beneath them.
        let depth = |slug: &str| survey.depths.get(slug).copied().unwrap_or_default();
        let mut rows = Sorted::by(Table::open(table, COLUMNS)?, |line| (depth(line.first()), line.first().to_owned()));
        loop {
            let lines = rows.chunk();
            if lines.is_empty() {
                break;
            }
            let mut tenants = Vec::with_capacity(lines.len());
            for line in lines {
                let new = new_tenant(line)?;
                let parent = new.parent.as_deref();
                let parent = parent.and_then(|key| ids.get(key).copied().or_else(|| Some(survey.stored.get(key)?.id)));
                let tenant = check(&new, &config)?.made(parent, now, &config);
                if survey.above.contains(tenant.slug.as_str()) {
                    ids.insert(tenant.slug.to_string(), tenant.id);
                }
                tenants.push(tenant);
            }
            insert(&mut write, &tenants).await?;
        }
        write.take_turn().await?;
        for (key, parent) in &survey.stored {
            let stands = match write.tenant(parent.id).await? {
                Some(tenant) => {
                    let mut line = parents_in(&mut write, &tenant).await?;
                    let depth = line.len();
                    line.push(tenant);
                    depth == parent.depth && not_beneath_gone(&line).is_ok()
                }
                None => false,
            };
            if !stands {
                return Err(changed(&format!("the parent {key:?} has changed")));
            }
        }
        let detail = json!({ "tenants": survey.rows, "sha256": sha256 });
        let entry = actor.entry("tenant.import", None, &sha256, detail);
        self.finish(write, entry, Imported { rows: survey.rows, sha256 }).await
    }

    /// Every row by every rule, and by what is in the store.
    async fn survey(&self, table: &[u8]) -> Result<Survey, TenancyError> {
        let config = self.config();
        let mut table = Table::open(table, COLUMNS)?;
        let mut seen = Seen::default();
        let mut depths: HashMap<String, usize> = HashMap::new();
        let mut stored: HashMap<String, Option<Parent>> = HashMap::new();
        let mut above = HashSet::new();
        loop {
            let lines = table.chunk();
            if lines.is_empty() {
                break;
            }
            let mut slugs: Vec<(u64, String)> = Vec::with_capacity(lines.len());
            for line in lines {
                let number = line.number;
                let checked =
                    match new_tenant(line).and_then(|new| check(&new, &config).map(|checked| (checked, new.parent))) {
                        Ok(checked) => checked,
                        Err(error) => {
                            table.faults.add_all(number, error)?;
                            continue;
                        }
                    };
                let (Checked { slug, .. }, parent) = checked;
                if let Some(key) = parent {
                    let depth = if seen.has(&key) {
                        above.insert(key.clone());
                        Some(depths.get(&key).map_or(1, |depth| depth + 1))
                    } else {
                        let parent = self.stored_parent(&mut stored, &key).await?;
                        if let Some(fault) = parent.and_then(|parent| parent.gone.clone()) {
                            table.faults.add(number, fault);
                        }
                        parent.map(|parent| parent.depth + 1)
                    };
                    match deep_enough(depth, &key) {
                        Ok(depth) => drop(depths.insert(slug.to_string(), depth)),
                        Err(fault) => table.faults.add(number, fault),
                    }
                }
                // Now: nobody is their own parent.
                if let Err(fault) = seen.note("/slug", slug.as_str(), number) {
                    table.faults.add(number, fault);
                }
                slugs.push((number, slug.to_string()));
            }
            let wanted: Vec<&str> = slugs.iter().map(|(_, slug)| slug.as_str()).collect();
            let taken: HashSet<String> = self.store.taken_slugs(&wanted).await?.into_iter().collect();
            for (number, slug) in slugs.iter().filter(|(_, slug)| taken.contains(slug)) {
                let detail = format!("the slug {slug:?} is taken, or was once and is retired");
                table.faults.add(*number, Fault::new("/slug", "slug-taken", detail));
            }
        }
        table.faults.check()?;
        let stored = stored.into_iter().filter_map(|(key, parent)| Some((key, parent?))).collect();
        Ok(Survey { rows: table.rows, stored, above, depths })
    }

    async fn stored_parent<'k>(
        &self,
        known: &'k mut HashMap<String, Option<Parent>>,
        key: &str,
    ) -> Result<Option<&'k Parent>, TenancyError> {
        if !known.contains_key(key) {
            let parent = match self.find(key).await.map_err(|error| no_parent(error, key)) {
                Ok(tenant) => {
                    let (id, mut line) = (tenant.id, self.parents_of(&tenant, &mut Known::default()).await?);
                    let depth = line.len();
                    line.push(tenant);
                    Some(Parent { id, depth, gone: not_beneath_gone(&line).err() })
                }
                Err(TenancyError::Invalid(_)) => None,
                Err(error) => return Err(error),
            };
            known.insert(key.to_owned(), parent);
        }
        Ok(known.get(key).and_then(Option::as_ref))
    }
}

fn deep_enough(depth: Option<usize>, key: &str) -> Result<usize, Fault> {
    match depth {
        None => {
            let detail = format!("there is no tenant {key:?}, in the store or in a line above");
            Err(Fault::new("/parent", "unknown-tenant", detail))
        }
        Some(depth) if depth >= MAX_DEPTH => {
            let detail = format!("a tenant has at most {} generations above it", MAX_DEPTH - 1);
            Err(Fault::new("/parent", "too-deep", detail))
        }
        Some(depth) => Ok(depth),
    }
}

/// Writes some, and sees to it that all of them went in: what the survey has seen may have changed since.
async fn insert(write: &mut Write, tenants: &[Tenant]) -> Result<(), TenancyError> {
    let slugs: Vec<&str> = tenants.iter().map(|tenant| tenant.slug.as_str()).collect();
    if write.retired_slugs(&slugs).await? > 0 || write.insert_tenants(tenants).await? < tenants.len() as u64 {
        return Err(changed("a slug of the table was given out"));
    }
    Ok(())
}

fn changed(what: &str) -> TenancyError {
    let detail = format!("{what} while the table was looked at; nothing was imported: import it again");
    TenancyError::conflict("", "changed-meanwhile", detail)
}

/// The cells of a row as what is asked for.
fn new_tenant(line: Line) -> Result<NewTenant, TenancyError> {
    let mut cells = line.cells.into_iter();
    let mut cell = || cells.next().flatten();
    let (slug, name) = (cell().unwrap_or_default(), cell().unwrap_or_default());
    let (plan, parent) = (cell(), cell());
    let status = cell().map(|text| {
        let fault =
            || Fault::new("/status", "invalid-status", format!("{text:?} is neither trial nor active nor pending"));
        Status::parse(&text).ok_or_else(fault)
    });
    let days = cell().map(|text| {
        let fault = || Fault::new("/trial_days", "wrong-type", format!("{text:?} is no number of days"));
        text.parse::<u32>().map_err(|_| fault())
    });
    match (status.transpose(), days.transpose()) {
        (Ok(status), Ok(trial_days)) => Ok(NewTenant { slug, name, plan, parent, status, trial_days }),
        (status, days) => Err(TenancyError::Invalid([status.err(), days.err()].into_iter().flatten().collect())),
    }
}
