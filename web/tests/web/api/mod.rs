//! The routes of the API, over a real socket.

mod alerts;
mod events;
mod guard;
mod operations;
mod rules;

use std::sync::Arc;

use weir_schema::{AlertState, ChangeKind};

use crate::harness::{Memory, change};

/// Ports with one alert.
fn filled() -> Arc<Memory> {
    let memory = Memory::new();
    memory.commit([change(1, 'A', ChangeKind::Raised, 1, AlertState::Confirmed)]);
    memory
}
