//! The import of domains: the same rules as for one claim, for very many.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::domains::{TOKEN_BYTES, check_name, require_feature};
use super::error::{Fault, TenancyError};
use super::import::{CHUNK, Column, Imported, Line, Seen, Sorted, Table, sha256};
use super::lineage::Known;
use super::{Actor, CUSTOM_DOMAIN, Done, Tenancy, tokens};
use crate::config::Config;
use crate::model::{Domain, DomainName, DomainState, Scope, TenantId};
use crate::store::Write;

const COLUMNS: &[Column] = &[
    Column { name: "domain", required: true },
    Column { name: "tenant", required: true },
    Column { name: "verified", required: false },
];

/// Claims are looked at one after the other, not all at once: so many a second.
const LOOKS_A_SECOND: u64 = 100;

/// A row whose cells are in order.
struct Claim {
    line: u64,
    name: DomainName,
    /// Id or slug.
    tenant: String,
    verified: bool,
}

/// Tenants of the table: who they are, or why they can have no domains.
#[derive(Default)]
struct Owners {
    known: HashMap<String, Result<TenantId, Fault>>,
    parents: Known,
}

impl Tenancy {
    /// Looks at a table of domains, and changes nothing: all faults, or what would come of it.
    pub async fn check_domains(&self, actor: &Actor, table: &[u8]) -> Result<Imported, TenancyError> {
        let (rows, _) = self.survey_domains(actor, table).await?;
        Ok(Imported { rows, sha256: sha256(table) })
    }

    /// Imports a table of domains, whole or not at all. Names that are not `verified` are claimed, and looked at one after
    /// the other; those that are become their tenants' at once, and certificates are ordered for them.
    pub async fn import_domains(&self, actor: &Actor, table: &[u8]) -> Result<Done<Imported>, TenancyError> {
        let (rows, owners) = self.survey_domains(actor, table).await?;
        let config = self.config();
        let sha256 = sha256(table);
        let now = self.clock.now();
        let mut write = self.store.bulk().await?;
        let mut claims = Sorted::by(Table::open(table, COLUMNS)?, |line| line.first().to_owned());
        let mut turns = Turns { front: write.next_turn(None).await?, last: HashMap::new() };
        let (mut written, mut verified) = (0, 0_u64);
        loop {
            let lines = claims.chunk();
            if lines.is_empty() {
                break;
            }
            let mut domains = Vec::with_capacity(lines.len());
            let mut orders = Vec::new();
            for line in lines {
                let claim = claim_of(line, &config)?;
                let owner = owners.known.get(&claim.tenant);
                let tenant = owner.and_then(|owner| owner.as_ref().ok()).copied().ok_or_else(changed)?;
                let state = if claim.verified { DomainState::Verified } else { DomainState::Pending };
                if claim.verified {
                    orders.push((claim.name.to_string(), tenant));
                }
                let token = hex::encode(tokens::random::<TOKEN_BYTES>()?);
                let due = now + Duration::from_millis(written * 1_000 / LOOKS_A_SECOND);
                let domain = Domain { name: claim.name, tenant, state, token, created: now, updated: now, revision: 0 };
                domains.push((domain, due));
                written += 1;
            }
            verified += orders.len() as u64;
            insert(&mut write, &domains).await?;
            let orders = turns.of(&mut write, orders).await?;
            write.want_orders(&orders).await?;
        }
        write.take_turn().await?;
        let detail = json!({ "domains": rows, "verified": verified, "sha256": sha256 });
        let entry = actor.entry("domain.import", None, &sha256, detail);
        self.finish(write, entry, Imported { rows, sha256 }).await
    }

    /// Who vouches for a name needs the same as one who does it for a single name.
    async fn survey_domains(&self, actor: &Actor, table: &[u8]) -> Result<(u64, Owners), TenancyError> {
        let config = self.config();
        let mut table = Table::open(table, COLUMNS)?;
        let (mut seen, mut verified) = (Seen::default(), Seen::default());
        let mut owners = Owners::default();
        loop {
            let lines = table.chunk();
            if lines.is_empty() {
                break;
            }
            let mut claims = Vec::with_capacity(lines.len());
            for line in lines {
                let number = line.number;
                match claim_of(line, &config) {
                    Ok(claim) if claim.verified && !actor.rights.has(Scope::TenantsManage) => {
                        return Err(TenancyError::Forbidden(vec![Scope::TenantsManage]));
                    }
                    Ok(claim) => claims.push(claim),
                    Err(error) => table.faults.add_all(number, error)?,
                }
            }
            let keys: Vec<&str> = claims.iter().map(|claim| claim.tenant.as_str()).collect();
            self.meet(&mut owners, &keys, &config).await?;
            for claim in &claims {
                let owner = owners.known.get(&claim.tenant);
                let id = match owner {
                    Some(Ok(id)) => id.to_string(),
                    Some(Err(fault)) => {
                        table.faults.add(claim.line, fault.clone());
                        continue;
                    }
                    None => continue,
                };
                let name = claim.name.to_string();
                if let Err(fault) = seen.note("/domain", &format!("{name} of {id}"), claim.line) {
                    table.faults.add(claim.line, fault);
                } else if claim.verified
                    && let Err(fault) = verified.note("/domain", &name, claim.line)
                {
                    table.faults.add(claim.line, fault);
                }
            }
            for (line, fault) in self.in_the_way(&claims, &owners).await? {
                table.faults.add(line, fault);
            }
        }
        table.faults.check()?;
        Ok((table.rows, owners))
    }

    /// Finds out who these are.
    async fn meet(&self, owners: &mut Owners, keys: &[&str], config: &Config) -> Result<(), TenancyError> {
        let mut strangers: Vec<&str> = keys.iter().copied().filter(|key| !owners.known.contains_key(*key)).collect();
        strangers.sort_unstable();
        strangers.dedup();
        let tenants = self.store.tenants_named(&strangers).await?;
        for state in self.states_of(tenants, &mut owners.parents).await? {
            let (id, slug) = (state.tenant.id, state.tenant.slug.to_string());
            let owner = match require_feature(CUSTOM_DOMAIN, &state, config) {
                Ok(()) => Ok(id),
                Err(error @ TenancyError::PlanRequired { .. }) => {
                    Err(Fault::new("/tenant", "plan-required", format!("{slug}: {error}")))
                }
                Err(error) => return Err(error),
            };
            for key in strangers.iter().filter(|key| **key == slug || **key == id.to_string()) {
                owners.known.insert((*key).to_owned(), owner.clone());
            }
        }
        for key in strangers {
            let nobody = || Err(Fault::new("/tenant", "unknown-tenant", format!("there is no tenant {key:?}")));
            owners.known.entry(key.to_owned()).or_insert_with(nobody);
        }
        Ok(())
    }

    /// What the store has against these claims.
    async fn in_the_way(&self, claims: &[Claim], owners: &Owners) -> Result<Vec<(u64, Fault)>, TenancyError> {
        let names: Vec<&DomainName> = claims.iter().map(|claim| &claim.name).collect();
        let mut there: HashMap<DomainName, Vec<Domain>> = HashMap::new();
        for domain in self.store.claims_to(&names).await? {
            there.entry(domain.name.clone()).or_default().push(domain);
        }
        let verified: Vec<&DomainName> =
            claims.iter().filter(|claim| claim.verified).map(|claim| &claim.name).collect();
        let resting: HashMap<String, TenantId> =
            self.store.resting(&verified, self.clock.now()).await?.into_iter().collect();
        let mut faults = Vec::new();
        for claim in claims {
            let Some(Ok(tenant)) = owners.known.get(&claim.tenant) else { continue };
            let name = &claim.name;
            let others = there.get(name).map_or(&[][..], Vec::as_slice);
            if let Some(own) = others.iter().find(|other| other.tenant == *tenant) {
                let detail = format!("{} has {name} already; its state is {}", claim.tenant, own.state);
                faults.push((claim.line, Fault::new("/domain", "domain-exists", detail)));
            } else if claim.verified && others.iter().any(|other| other.state.is_held()) {
                let detail = format!("{name} belongs to another tenant");
                faults.push((claim.line, Fault::new("/domain", "domain-taken", detail)));
            } else if claim.verified && resting.get(&name.to_string()).is_some_and(|last| last != tenant) {
                let detail = format!("{name} was given up lately, and rests");
                faults.push((claim.line, Fault::new("/domain", "domain-resting", detail)));
            }
        }
        Ok(faults)
    }
}

/// Turns in the queue, as [`Write::next_turn`] gives them out, without asking for each.
struct Turns {
    front: i64,
    last: HashMap<TenantId, i64>,
}

impl Turns {
    async fn of(
        &mut self,
        write: &mut Write,
        orders: Vec<(String, TenantId)>,
    ) -> Result<Vec<(String, TenantId, i64)>, TenancyError> {
        let new: Vec<TenantId> =
            orders.iter().map(|(_, tenant)| *tenant).filter(|tenant| !self.last.contains_key(tenant)).collect();
        self.last.extend(write.last_turns(&new).await?);
        let turn = |(name, tenant): (String, TenantId)| {
            let last = self.last.entry(tenant).or_insert(0);
            *last = (*last + 1).max(self.front);
            (name, tenant, *last)
        };
        Ok(orders.into_iter().map(turn).collect())
    }
}

/// Writes some, and sees to it that all of them went in: what the survey has seen may have changed since.
async fn insert(write: &mut Write, domains: &[(Domain, crate::clock::Timestamp)]) -> Result<(), TenancyError> {
    for some in domains.chunks(CHUNK) {
        let mut tenants: Vec<TenantId> = some.iter().map(|(domain, _)| domain.tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        if write.present(&tenants).await?.len() < tenants.len() || write.insert_domains(some).await? < some.len() as u64
        {
            return Err(changed());
        }
    }
    Ok(())
}

fn changed() -> TenancyError {
    let detail = "a tenant or a claim has changed while the table was looked at; nothing was imported: import it again";
    TenancyError::conflict("", "changed-meanwhile", detail)
}

/// The cells of a row as a claim.
fn claim_of(line: Line, config: &Config) -> Result<Claim, TenancyError> {
    let mut cells = line.cells.into_iter();
    let mut cell = || cells.next().flatten();
    let name = check_name("/domain", &cell().unwrap_or_default(), config);
    let tenant = cell().unwrap_or_default();
    let verified = match cell().as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(text) => Err(Fault::new("/verified", "wrong-type", format!("{text:?} is neither true nor false"))),
    };
    match (name, verified) {
        (Ok(name), Ok(verified)) => Ok(Claim { line: line.number, name, tenant, verified }),
        (name, verified) => Err(TenancyError::Invalid([name.err(), verified.err()].into_iter().flatten().collect())),
    }
}
