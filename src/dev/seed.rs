//! What a fresh development store is filled with: three demo tenants and a custom domain. What somebody changed
//! meanwhile stays as it is.

use crate::model::Status;
use crate::tenancy::{Actor, Expect, NewDomain, NewTenant, Suspension, Tenancy, TenancyError};

/// Slug, name, plan.
const TENANTS: [(&str, &str, &str); 3] =
    [("acme", "Acme", "growth"), ("beta", "Beta", "free"), ("gamma", "Gamma", "growth")];

/// The custom domain of `acme`.
pub const DOMAIN: &str = "community.acme.localhost";

/// Adds the demonstration to a store that has no tenant of these names.
pub async fn fill(tenancy: &Tenancy) -> Result<(), TenancyError> {
    let actor = Actor::new("dev");
    for (slug, name, plan) in TENANTS {
        if tenancy.show(slug).await.is_ok() {
            continue;
        }
        let status = if slug == "beta" { Status::Trial } else { Status::Active };
        let new = NewTenant {
            slug: slug.into(),
            name: name.into(),
            plan: Some(plan.into()),
            status: Some(status),
            ..NewTenant::default()
        };
        tenancy.create(&actor, &new).await?;
        match slug {
            "acme" => {
                let new = NewDomain { domain: DOMAIN.into(), verified: true };
                tenancy.add_domain(&actor, slug, &new).await?;
            }
            "gamma" => {
                let why = Suspension { reason: Some("The demonstration wants it so.".into()), public: true };
                tenancy.suspend(&actor, slug, &Expect::Anything, &why).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
