//! People: signing in, their sessions, and what becomes of what was opened under one.

mod edge;
mod oidc;
mod passwords;
mod sessions;

use tenantry::clock::Clock;
use tenantry::model::Person;
use tenantry::signin::SignIn;
use tenantry::tenancy::Actor;

use crate::support::world::World;

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
