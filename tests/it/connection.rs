//! A client connection from accept to its end: what reaches pingora, what does not, and how long anyone may take.

mod closing;
mod heads;
mod keepalive;
mod listeners;
mod tls;
mod world;
