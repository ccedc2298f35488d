//! People: signing in, their sessions, and what becomes of what was opened under one.

mod commands;
mod edge;
mod forged;
mod oidc;
mod passwords;
mod sessions;
mod tenancies;

use tenantry::clock::Clock;
use tenantry::model::{MemberState, Person, PersonId, Role};
use tenantry::signin::SignIn;
use tenantry::store::MemberRow;
use tenantry::tenancy::Actor;

use crate::support::world::World;

/// Makes somebody an active member, or no member any more.
pub async fn member(world: &World, person: PersonId, slug: &str, role: Option<Role>) {
    let tenant = world.running.tenancy().show(slug).await.unwrap().tenant.id;
    let mut write = world.running.store().write().await.unwrap();
    match role {
        Some(role) => {
            let found = write.person(person).await.unwrap().unwrap();
            let row = MemberRow {
                tenant,
                person,
                email: found.email,
                name: found.name,
                state: MemberState::Active,
                position: role.into(),
                unit: None,
                ended: None,
                due: None,
                created: write.now(),
                updated: write.now(),
                revision: 0,
            };
            write.insert_member(&row).await.unwrap();
        }
        None => {
            assert!(write.delete_member(tenant, person).await.unwrap());
            write.end_site_sessions_of(person, tenant).await.unwrap();
        }
    }
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, std::time::Duration::from_secs(10)).await);
}

pub const PASSWORD: &str = "tram velvet osprey";

/// Somebody who signs in with [`PASSWORD`].
pub async fn person(world: &World, email: &str) -> Person {
    let tenancy = world.running.tenancy().clone();
    let signin = SignIn::new(tenancy, &world.running.config(), world.clock.clone()).unwrap();
    signin.person_with_password(&Actor::new("test"), email, email, PASSWORD).await.unwrap()
}

/// A clock that only a test moves.
pub fn manual() -> Clock {
    Clock::manual(Clock::system().now())
}
