//! The pictures of tenants' branding: their bytes, found by what they are. What a picture may be is not known here.

use sqlx::query;

use super::row::{Row, storable};
use super::{Store, StoreError, Write};
use crate::model::{Asset, ImageKind, MediaType, TenantId};

impl Store {
    /// The picture with this hash, whosever it is: two tenants with the same bytes have the same picture.
    pub async fn asset(&self, hash: &str) -> Result<Option<Asset>, StoreError> {
        let statement = query("SELECT hash, media, bytes FROM assets WHERE hash = $1 LIMIT 1");
        let Some(row) = self.one(statement.bind(storable(hash).into_owned())).await? else { return Ok(None) };
        let row = Row::new(&row, "assets", "hash");
        let media = row.parsed("media", "media type", MediaType::parse)?;
        Ok(Some(Asset { media, bytes: row.bytes("bytes")?.to_vec() }))
    }
}

impl Write {
    /// Puts or replaces a tenant's picture of this kind. `Missing` when there is no such tenant.
    pub async fn put_asset(
        &mut self,
        tenant: TenantId,
        kind: ImageKind,
        hash: &str,
        asset: &Asset,
    ) -> Result<(), StoreError> {
        self.require_tenant(tenant).await?;
        let sql = "INSERT INTO assets (tenant, kind, hash, media, bytes, created) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (tenant, kind) DO UPDATE SET hash = excluded.hash, media = excluded.media, \
                   bytes = excluded.bytes, created = excluded.created";
        let statement = query(sql)
            .bind(tenant.to_string())
            .bind(kind.as_str())
            .bind(hash.to_owned())
            .bind(asset.media.as_str())
            .bind(asset.bytes.clone())
            .bind(self.now().millis());
        self.execute(statement).await.map(drop)
    }

    /// False when there was none.
    pub async fn delete_asset(&mut self, tenant: TenantId, kind: ImageKind) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM assets WHERE tenant = $1 AND kind = $2");
        Ok(self.execute(statement.bind(tenant.to_string()).bind(kind.as_str())).await? > 0)
    }

    pub(super) async fn delete_assets_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM assets WHERE tenant = $1").bind(tenant.to_string())).await
    }
}
