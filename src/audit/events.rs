//! Security-relevant events that belong to no change of a row: each has its line in the ledger. The whole list is here, and
//! a test brings each of them about.

/// Somebody was refused: unknown, from elsewhere, without the scope, below the rank.
pub const ACCESS_REFUSED: &str = "access.refused";
/// A sign-in that came to nothing: unknown or disabled, wrong password, too often, a provider's no.
pub const SESSION_REFUSED: &str = "session.refuse";
/// The configuration was read again, or refused.
pub const CONFIG_RELOAD: &str = "config.reload";
/// The process was told to have another program take its place.
pub const PROCESS_UPGRADE: &str = "process.upgrade";
/// The whole store was written to a file, was copied to another store, was put in place from a file.
pub const STORE_BACKUP: &str = "store.backup";
pub const STORE_COPY: &str = "store.copy";
pub const STORE_RESTORE: &str = "store.restore";
/// Every secret was put under the newest key.
pub const STORE_RESEAL: &str = "store.reseal";
/// The ledger was taken along, or checked.
pub const AUDIT_EXPORT: &str = "audit.export";
pub const AUDIT_VERIFY: &str = "audit.verify";

/// All of them.
pub const EVENTS: [&str; 10] = [
    ACCESS_REFUSED,
    SESSION_REFUSED,
    CONFIG_RELOAD,
    PROCESS_UPGRADE,
    STORE_BACKUP,
    STORE_COPY,
    STORE_RESTORE,
    STORE_RESEAL,
    AUDIT_EXPORT,
    AUDIT_VERIFY,
];
