//! Certificates from ACME authorities: the life of an order, its place in the queue, and the talk with the authority. No
//! certificate is served from here, and nothing here is on a request's way.

pub mod ca;
pub mod dns01;
pub mod protocol;
