//! Certificates from authorities: against Pebble, and against one that misbehaves.

mod again;
mod ca;
mod dns01;
mod failover;
mod faults;
mod fixtures;
mod fleet;
mod killed;
mod many;
mod outage;
mod wildcard;
