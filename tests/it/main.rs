//! Every integration test, in one binary: real sockets, free ports, no sleeps as synchronisation.

mod admin;
mod architecture;
mod config;
