//! Calls that read very many rows: exports, and checks of the ledger. A node answers few of them at once, so that lists and
//! writes go on beside them. No tenant takes a second place, nor one of the operators'.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::model::{Rights, TenantId};

/// The places that there are. Clones share them.
#[derive(Clone)]
pub struct Readings {
    operators: Arc<Semaphore>,
    tenants: Arc<Semaphore>,
    /// The tenants that have one.
    seated: Arc<Mutex<HashSet<TenantId>>>,
}

/// A place, held for as long as something is read.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    tenant: Option<TenantId>,
    seated: Arc<Mutex<HashSet<TenantId>>>,
}

impl Default for Readings {
    fn default() -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        Self { operators: places(OPERATORS), tenants: places(TENANTS), seated: Arc::default() }
    }
}

impl Readings {
    /// A place for whoever has these rights. 429 where none is free.
    pub fn place(&self, rights: &Rights) -> Result<Place, Problem> {
        let tenant = rights.only();
        let places = if tenant.is_some() { &self.tenants } else { &self.operators };
        let permit = Arc::clone(places).try_acquire_owned().map_err(|_| busy())?;
        if tenant.is_some_and(|tenant| !seats(&self.seated).insert(tenant)) {
            return Err(busy());
        }
        Ok(Place { _permit: permit, tenant, seated: Arc::clone(&self.seated) })
    }
}

impl Place {
    /// Holds it until that is done.
    pub async fn during<T>(self, reading: impl Future<Output = T>) -> T {
        reading.await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(tenant) = self.tenant {
            seats(&self.seated).remove(&tenant);
        }
    }
}

fn seats(seated: &Mutex<HashSet<TenantId>>) -> MutexGuard<'_, HashSet<TenantId>> {
    seated.lock().unwrap_or_else(PoisonError::into_inner)
}

fn busy() -> Problem {
    let detail = "this node is busy with other exports and checks of the ledger, or with one of yours; try again when it is \
                  done";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "readings-under-way", detail).retry_after(10)
}

/// How many operators' calls read at once.
const OPERATORS: usize = 4;
/// The same of tenants' callers, each of another tenant.
const TENANTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Realm;

    #[test]
    fn places_are_few_and_come_back() {
        let readings = Readings::default();
        let of = |tenant| Rights { realm: Realm::Tenant(tenant), ..Rights::none() };
        let tenants: Vec<Rights> = (0..=TENANTS).map(|_| of(TenantId::new())).collect();
        let mut held: Vec<Place> = tenants[..TENANTS].iter().flat_map(|rights| readings.place(rights)).collect();
        assert_eq!(held.len(), TENANTS);
        assert!(readings.place(&tenants[TENANTS]).is_err(), "no place is left for tenants");
        let operators: Vec<Place> = (0..OPERATORS).flat_map(|_| readings.place(&Rights::all())).collect();
        assert_eq!(operators.len(), OPERATORS);
        assert!(readings.place(&Rights::all()).is_err());
        held.remove(0);
        let second = readings.place(&tenants[1]).err().map(|problem| problem.code());
        assert_eq!(second, Some("readings-under-way"), "one of a tenant's own is under way");
        assert!(readings.place(&tenants[0]).is_ok());
    }
}
