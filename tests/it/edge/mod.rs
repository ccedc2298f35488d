//! The edge as visitors, tenants and backends see it.

mod assertions;
mod certificates;
mod first;
mod hosts;
mod plain;
mod scale;
mod sessions;
mod spoofing;
