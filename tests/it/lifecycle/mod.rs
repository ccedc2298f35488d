//! What happens to visitors when a tenant, a domain or the store changes under them.

mod nodes;
mod suspension;
