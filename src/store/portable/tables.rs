//! What a portable copy of the store holds: every table but those that only the moment knows, with every column. A test
//! compares this list with the schema.

/// How a column's values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

pub(super) struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Kind)],
    /// The columns of the primary key: copies of the same store are the same, line by line.
    pub key: &'static str,
}

/// The feed's one row: it is not put in, but what it says is put into the one that is there.
pub(super) const FEED: &str = "feed";

/// Left out: `changes`, `nodes`, `leases` and `calls` belong to the moment, `migrations` to the database; what is counted is
/// counted again as the rows come.
#[cfg(test)]
const LEFT_OUT: [&str; 8] =
    ["calls", "changes", "nodes", "leases", "migrations", "tenant_counts", "trial_counts", "domain_counts"];

use Kind::{Bytes, Int, Text};

/// Whoever is referred to comes first.
#[rustfmt::skip]
pub(super) const TABLES: &[Table] = &[
    Table { name: FEED, key: "id", columns: &[
        ("id", Int), ("revision", Int), ("pruned", Int), ("audit", Int), ("seal_check", Bytes),
    ] },
    Table { name: "tenants", key: "id", columns: &[
        ("id", Text), ("slug", Text), ("name", Text), ("status", Text), ("plan", Text), ("features_on", Text),
        ("features_off", Text), ("parent", Text), ("branding", Text), ("suspend_reason", Text), ("reason_public", Int),
        ("trial_ends", Int), ("created", Int), ("updated", Int), ("revision", Int), ("edge", Text),
        ("cancelled", Int), ("archived", Int), ("phase_ends", Int), ("domains_until", Int), ("due", Int),
        ("name_key", Text), ("plan_next", Text), ("plan_next_at", Int), ("period_end", Int), ("billing_ref", Text),
        ("caps", Text), ("status_by", Text), ("period_start", Int), ("billing_told", Int),
        ("listed", Int), ("status_before", Text),
    ] },
    Table { name: "profiles", key: "tenant", columns: &[("tenant", Text), ("contacts", Text), ("settings", Text)] },
    Table { name: "tenant_words", key: "word, slug", columns: &[("word", Text), ("slug", Text)] },
    Table { name: "assets", key: "tenant, kind", columns: &[
        ("tenant", Text), ("kind", Text), ("hash", Text), ("media", Text), ("bytes", Bytes), ("created", Int),
    ] },
    Table { name: "listings", key: "tenant", columns: &[
        ("tenant", Text), ("listed", Int), ("priority", Int), ("updated", Int), ("slug", Text), ("members", Int),
        ("created", Int), ("shown", Int),
    ] },
    Table { name: "billing_events", key: "id", columns: &[
        ("id", Text), ("fingerprint", Bytes), ("at", Int), ("occurred", Int), ("tenant", Text), ("answer", Text),
    ] },
    Table { name: "retired_slugs", key: "slug", columns: &[("slug", Text), ("tenant", Text), ("retired", Int)] },
    Table { name: "domains", key: "name, tenant", columns: &[
        ("name", Text), ("tenant", Text), ("state", Text), ("token", Text), ("created", Int), ("updated", Int),
        ("revision", Int), ("next_check", Int), ("progress", Text), ("reversed", Text),
    ] },
    Table { name: "cooldowns", key: "name", columns: &[("name", Text), ("tenant", Text), ("until", Int)] },
    Table { name: "certificates", key: "id", columns: &[
        ("id", Text), ("names", Text), ("chain", Text), ("sealed_key", Bytes), ("not_after", Int), ("created", Int),
        ("revision", Int), ("source", Text), ("authority", Text), ("not_before", Int), ("revoked", Int),
        ("tenant", Text),
    ] },
    Table { name: "certificate_names", key: "name, certificate", columns: &[("name", Text), ("certificate", Text)] },
    Table { name: "challenges", key: "id", columns: &[("id", Text), ("answer", Text), ("expires", Int)] },
    Table { name: "tokens", key: "name", columns: &[
        ("name", Text), ("hash", Bytes), ("created", Int), ("expires", Int), ("tenant", Text), ("scopes", Text),
        ("maker", Text), ("role", Text), ("operator", Text), ("made_by", Text), ("session", Text), ("parent", Text),
    ] },
    Table { name: "people", key: "id", columns: &[
        ("id", Text), ("email", Text), ("name", Text), ("password", Text), ("default_tenant", Text), ("disabled", Int),
        ("created", Int), ("updated", Int), ("revision", Int), ("erase_since", Int), ("verified", Int),
    ] },
    Table { name: "erasures", key: "person, chain", columns: &[("person", Text), ("chain", Text), ("since", Int)] },
    Table { name: "password_tokens", key: "person", columns: &[
        ("person", Text), ("hash", Bytes), ("created", Int), ("expires", Int),
    ] },
    Table { name: "identities", key: "issuer, subject", columns: &[
        ("issuer", Text), ("subject", Text), ("person", Text), ("created", Int),
    ] },
    Table { name: "sessions", key: "id", columns: &[
        ("id", Text), ("hash", Bytes), ("person", Text), ("method", Text), ("tenant", Text), ("created", Int),
        ("seen", Int), ("expires", Int), ("address", Text), ("agent", Text),
    ] },
    Table { name: "site_sessions", key: "id", columns: &[
        ("id", Text), ("session", Text), ("person", Text), ("tenant", Text), ("expires", Int), ("ended", Int),
    ] },
    Table { name: "units", key: "id", columns: &[
        ("id", Text), ("tenant", Text), ("parent", Text), ("name", Text), ("created", Int), ("updated", Int),
        ("revision", Int),
    ] },
    Table { name: "roles", key: "tenant, name", columns: &[
        ("tenant", Text), ("name", Text), ("title", Text), ("base", Text), ("scopes", Text), ("created", Int),
        ("updated", Int), ("revision", Int),
    ] },
    Table { name: "members", key: "tenant, person", columns: &[
        ("tenant", Text), ("person", Text), ("state", Text), ("rank", Text), ("role", Text), ("unit", Text),
        ("email", Text), ("name", Text), ("ended", Int), ("due", Int), ("created", Int), ("updated", Int),
        ("revision", Int),
    ] },
    Table { name: "member_counts", key: "tenant", columns: &[("tenant", Text), ("active", Int)] },
    Table { name: "invitations", key: "id", columns: &[
        ("id", Text), ("tenant", Text), ("email", Text), ("rank", Text), ("role", Text), ("unit", Text),
        ("message", Text), ("hash", Bytes), ("inviter", Text), ("created", Int), ("sent", Int), ("expires", Int),
        ("revision", Int),
    ] },
    Table { name: "secrets", key: "name", columns: &[("name", Text), ("sealed", Bytes), ("updated", Int)] },
    Table { name: "orders", key: "name", columns: &[
        ("name", Text), ("names", Text), ("tenant", Text), ("stage", Text), ("data", Text), ("sealed_key", Bytes),
        ("turn", Int), ("not_before", Int), ("failures", Int), ("owner", Text), ("lease", Int), ("fence", Int),
        ("created", Int), ("updated", Int),
    ] },
    Table { name: "buckets", key: "id", columns: &[("id", Text), ("arrival", Int), ("blocked", Int), ("failures", Int)] },
    Table { name: "events", key: "revision, seq", columns: &[
        ("revision", Int), ("seq", Int), ("at", Int), ("kind", Text), ("tenant", Text), ("subject", Text),
        ("detail", Text),
    ] },
    Table { name: "audit", key: "id", columns: &[
        ("id", Int), ("at", Int), ("revision", Int), ("actor", Text), ("action", Text), ("tenant", Text),
        ("subject", Text), ("detail", Text), ("request_id", Text), ("on_behalf", Text), ("state_before", Text),
        ("state_after", Text), ("chain", Text), ("number", Int), ("prev", Bytes), ("hash", Bytes),
    ] },
    Table { name: "audit_chains", key: "chain", columns: &[
        ("chain", Text), ("number", Int), ("head", Bytes), ("cut_number", Int), ("cut_hash", Bytes), ("cut_at", Int),
        ("cut_key", Text), ("cut_signature", Text), ("due", Int), ("told", Int), ("revision", Int),
        ("anchored", Int),
    ] },
    Table { name: "audit_start", key: "id", columns: &[
        ("id", Int), ("through", Int), ("written", Int), ("kept", Int), ("erased", Int),
    ] },
    Table { name: "audit_anchors", key: "line, chain", columns: &[
        ("line", Int), ("chain", Text), ("number", Int), ("hash", Bytes),
    ] },
    Table { name: "audit_personal", key: "line, place", columns: &[
        ("line", Int), ("place", Text), ("person", Text), ("salt", Bytes), ("value", Text), ("digest", Bytes),
        ("chain", Text),
    ] },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sqlx::{AssertSqlSafe, Row};
    use tempfile::TempDir;

    use super::*;
    use crate::clock::Timestamp;
    use crate::seal::Sealer;
    use crate::store::connect::Place;
    use crate::store::migrate::migrate;

    #[tokio::test]
    async fn nothing_of_the_schema_is_forgotten() {
        let dir = TempDir::new().unwrap();
        let place = Place::parse(&format!("sqlite:{}", dir.path().join("store.db").display())).unwrap();
        migrate(&place, &Sealer::from_key_bytes(&[7; 32]).unwrap(), Timestamp(0)).await.unwrap();
        let mut connection = place.connect().await.unwrap();
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table'";
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        let tables: BTreeSet<String> = rows.iter().map(|row| row.get("name")).collect();
        let known = TABLES.iter().map(|table| table.name).chain(LEFT_OUT).map(str::to_owned).collect();
        assert_eq!(tables, known, "add new tables to TABLES in store/portable/tables.rs");
        for table in TABLES {
            let sql = AssertSqlSafe(format!("SELECT name, type FROM pragma_table_info('{}')", table.name));
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            let kind = |declared: &str| match declared {
                "BIGINT" => Int,
                "BYTEA" => Bytes,
                _ => Text,
            };
            let columns: BTreeSet<_> = rows.iter().map(|row| row.get::<String, _>("name")).collect();
            let known = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(columns, known, "{}: add new columns to TABLES in store/portable/tables.rs", table.name);
            for row in &rows {
                let name = row.get::<String, _>("name");
                let listed = table.columns.iter().find(|(listed, _)| *listed == name).unwrap().1;
                assert_eq!(listed, kind(&row.get::<String, _>("type")), "{}.{name}", table.name);
            }
        }
    }
}
