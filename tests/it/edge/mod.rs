//! The edge as visitors, tenants and backends see it.

mod certificates;
mod first;
