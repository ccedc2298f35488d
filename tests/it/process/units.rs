//! The unit files that are shipped.
