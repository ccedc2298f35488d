//! The edge as visitors, tenants and backends see it.

mod assertions;
mod first;
mod spoofing;
