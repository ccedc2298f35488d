//! The edge as visitors, tenants and backends see it.

mod first;
