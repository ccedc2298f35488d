//! A certificate that is served no more: deleted by its owner's wish, or revoked. What is served instead is the store's
//! choice among the rest, and the names' orders are brought forward so that there is one.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CertificateState, Certificates, not_found};
use crate::model::CertificateSource;
use crate::store::Event;
use crate::tenancy::{Actor, Done, TenancyError};

/// Why a certificate is revoked (RFC 5280 §5.3.1): those that a subscriber can give (RFC 8555 §7.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    #[default]
    Unspecified,
    /// Somebody else has, or may have, the private key.
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
}

impl Reason {
    /// The CRLReason.
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

/// Who hears of a revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reach {
    /// The authority first, then this installation, and neither when the authority refuses.
    #[default]
    Authority,
    /// This installation only: the authority has been told otherwise, or is gone.
    OnlyHere,
}

impl Certificates {
    /// Removes a certificate that its owner brought, with its key.
    pub async fn delete(&self, actor: &Actor, id: &str) -> Result<Done<()>, TenancyError> {
        let row = self.writable(&actor.rights, id).await?;
        if row.source != CertificateSource::Uploaded {
            let detail = format!(
                "the certificate {id} was not uploaded but is {}: it goes by itself when it ends; revoke it if it must not \
                 be served",
                match row.source {
                    CertificateSource::Acme => "from an authority",
                    _ => "from the local authority",
                }
            );
            return Err(TenancyError::conflict("", "not-uploaded", detail));
        }
        let tenant = self.whose(&row).await?;
        let mut write = self.store().write().await?;
        write.delete_certificate(id).await.map_err(|error| gone(error, id))?;
        self.order_again(&mut write, &row).await?;
        let detail = json!({ "id": id, "names": row.names });
        let subject = row.names.first().cloned().unwrap_or_default();
        let kind = "certificate.deleted".to_owned();
        write.event(&Event { kind, tenant, subject: subject.clone(), detail: detail.clone() }).await?;
        let before = json!({ "id": id, "names": row.names, "not_after": row.not_after });
        let entry = actor.entry("certificate.delete", tenant, subject, json!({})).gone(before);
        self.tenancy.finish(write, entry, ()).await
    }

    /// Has a certificate revoked, and serves it no more. One that was not had from an authority of ours can be revoked
    /// here only: its owner has to tell whoever signed it.
    pub async fn revoke(
        &self,
        actor: &Actor,
        id: &str,
        reason: Reason,
        reach: Reach,
    ) -> Result<Done<CertificateState>, TenancyError> {
        let row = self.writable(&actor.rights, id).await?;
        if let Some(at) = row.revoked {
            let detail = format!("the certificate {id} was revoked {at}");
            return Err(TenancyError::conflict("", "already-revoked", detail));
        }
        if reach == Reach::Authority {
            if row.source != CertificateSource::Acme {
                let detail = format!(
                    "the certificate {id} was not had from an authority by this installation; whoever had it must tell \
                     the authority, and revoking it only here keeps it from being served"
                );
                return Err(TenancyError::conflict("/only_here", "not-ours", detail));
            }
            self.revoker.revoke(&row.authority, &row.chain, reason).await.map_err(|why| {
                let detail = format!("{} did not revoke the certificate {id}: {why}; nothing was done", row.authority);
                TenancyError::conflict("", "authority-refused", detail)
            })?;
        }
        let tenant = self.whose(&row).await?;
        let mut write = self.store().write().await?;
        write.revoke_certificate(id).await.map_err(|error| gone(error, id))?;
        self.order_again(&mut write, &row).await?;
        let only_here = reach == Reach::OnlyHere;
        let detail = json!({ "id": id, "names": row.names, "reason": reason, "only_here": only_here });
        let subject = row.names.first().cloned().unwrap_or_default();
        let kind = "certificate.revoked".to_owned();
        write.event(&Event { kind, tenant, subject: subject.clone(), detail: detail.clone() }).await?;
        let entry = actor.entry("certificate.revoke", tenant, subject, detail);
        let entry = entry.changed(json!({ "revoked": null }), json!({ "revoked": write.now() }));
        let (revoked, revision) = (Some(write.now()), row.revision);
        let row = crate::store::CertificateRow { revoked, revision, ..row };
        self.tenancy.finish(write, entry, CertificateState { row, in_use: Vec::new() }).await
    }
}

fn gone(error: crate::store::StoreError, id: &str) -> TenancyError {
    match error {
        crate::store::StoreError::Missing(_) => not_found(id),
        other => other.into(),
    }
}
