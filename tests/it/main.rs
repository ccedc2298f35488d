//! Every integration test, in one binary: real sockets on free ports.

mod connection;
