//! Maintenance: a tenant's requests are refused with a page, but for those of the networks that look after it. What is
//! open is not cut: requests under way end as they would, and only WebSockets are closed (by the registry).

use std::net::IpAddr;
use std::time::Duration;

use super::rejection::Rejection;
use crate::directory::View;

/// Whether this client is served by a tenant that may be under maintenance.
pub fn check(view: &View, client: IpAddr) -> Result<(), Rejection> {
    match &view.effective.edge.maintenance {
        Some(maintenance) if !maintenance.allow.iter().any(|network| network.contains(&client)) => {
            Err(Rejection::Maintenance {
                message: maintenance.message.clone(),
                retry_after: Duration::from_secs(maintenance.retry_after.into()),
            })
        }
        _ => Ok(()),
    }
}
