//! The edge's view of who lives where: caches over the store.
