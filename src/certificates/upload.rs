//! A certificate brought by its owner: checked, stored, served at once. Nothing is stored of one that is refused.

use std::fmt;

use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::checks::{self, Warning};
use super::holder::{self, Holder};
use super::{CertificateState, Certificates, FALLBACK_READY};
use crate::model::{Certificate, CertificateSource, TenantId};
use crate::store::{CertificateRow, Event, StoreError, Write};
use crate::tenancy::{Actor, Done, Fault, TenancyError};

/// What is brought.
#[derive(Clone, Default)]
pub struct NewCertificate {
    /// PEM, leaf first, each signed by the next.
    pub chain: String,
    /// PEM: PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub key: Zeroizing<String>,
    /// Id or slug: whose it is, where a wildcard covers domains of several tenants.
    pub tenant: Option<String>,
}

impl fmt::Debug for NewCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCertificate").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// A certificate that was just stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uploaded {
    pub certificate: CertificateState,
    pub warnings: Vec<Warning>,
}

impl Certificates {
    /// Stores a chain with its key, to be served from now on for the names that its tenant holds, until it ends, is
    /// deleted or is revoked. The orders for these names rest until 30 days before its end, so that a certificate of
    /// ours is there when it ends.
    pub async fn upload(&self, actor: &Actor, new: &NewCertificate) -> Result<Done<Uploaded>, TenancyError> {
        let checked = checks::check(&new.chain, &new.key, self.now()).map_err(TenancyError::Invalid)?;
        let tenant = match &new.tenant {
            // Not repeated, as a tenant's name elsewhere: it may be a key that went into the wrong field.
            Some(key) if key.len() > TENANT_MAX => {
                let detail = "a tenant is named by its id or its slug, and this is neither";
                return Err(TenancyError::Invalid(vec![Fault::new("/tenant", "unknown-tenant", detail)]));
            }
            Some(key) => Some(self.tenancy.show(key).await?.tenant.id),
            None => None,
        };
        let holder = self.holder(&checked.names, tenant).await?;
        let certificate = Certificate {
            id: Uuid::now_v7().to_string(),
            names: holder.names.clone(),
            chain: checked.chain,
            key: checked.key,
            not_before: checked.not_before,
            not_after: checked.not_after,
            source: CertificateSource::Uploaded,
            authority: String::new(),
        };
        let mut write = self.store().write().await?;
        holder::still_held(&mut write, &holder).await?;
        write.insert_certificate(&certificate).await?;
        put_off(&mut write, &certificate).await?;
        let detail = json!({ "id": certificate.id, "names": certificate.names, "not_after": certificate.not_after });
        let subject = certificate.names.first().cloned().unwrap_or_default();
        write
            .event(&Event {
                kind: "certificate.uploaded".into(),
                tenant: holder.tenant,
                subject: subject.clone(),
                detail: detail.clone(),
            })
            .await?;
        let entry = actor.entry("certificate.upload", holder.tenant, subject, json!({})).made(detail);
        let row = row_of(certificate, holder.tenant, &write);
        let Holder { names, warnings, .. } = holder;
        let warnings = checked.warnings.into_iter().chain(warnings).collect();
        let uploaded = Uploaded { certificate: CertificateState { row, in_use: names }, warnings };
        self.tenancy.finish(write, entry, uploaded).await
    }
}

async fn put_off(write: &mut Write, certificate: &Certificate) -> Result<(), StoreError> {
    let ready = certificate.not_after - FALLBACK_READY;
    for name in &certificate.names {
        if write.order(name).await?.is_some_and(|order| order.not_before < ready) {
            write.reschedule_order(name, ready).await?;
        }
    }
    Ok(())
}

fn row_of(certificate: Certificate, tenant: Option<TenantId>, write: &Write) -> CertificateRow {
    CertificateRow {
        id: certificate.id,
        names: certificate.names,
        chain: certificate.chain,
        source: certificate.source,
        authority: certificate.authority,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        created: write.now(),
        revoked: None,
        tenant,
        revision: write.revision(),
    }
}

/// Longer than any slug or id.
const TENANT_MAX: usize = 64;
