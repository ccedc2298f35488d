//! Every integration test, in one binary: real sockets, free ports, no sleeps as synchronisation.

mod architecture;
mod config;
