//! Tests of the HTTP server over real sockets, in one test binary.

mod harness;

mod api;
mod collect;
mod connections;
mod streams;
