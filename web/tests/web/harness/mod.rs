//! In-memory ports, a real server on a loopback port, and a plain HTTP client.

mod client;
mod memory;
mod server;

pub use client::{Answer, SseEvent};
pub use memory::{Memory, change};
pub use server::{TOKEN, TestServer};
