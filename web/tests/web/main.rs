//! The server as its clients meet it, over real sockets, in one test binary.

mod harness;

mod api;
mod collect;
mod crowd;
mod stream;
