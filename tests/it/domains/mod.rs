//! Who owns a name, proven against real servers: stories of claims, what DNS can answer, and many who work at once.

mod answers;
mod nodes;
mod room;
mod stories;
mod wildcards;
