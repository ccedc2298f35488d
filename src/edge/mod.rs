//! A request's way through the edge. Nothing here knows the store or the control plane.

pub mod connection;
pub mod listener;
pub mod patient;
