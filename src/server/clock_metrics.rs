//! The metric of the server's clock.

use prometheus::{IntCounter, Registry};

/// Registers the counter of jumps.
pub fn register_jumps(registry: &Registry) -> prometheus::Result<IntCounter> {
    let help = "jumps of the wall clock against the time since boot";
    let jumps = IntCounter::new("weir_clock_jumps_total", help)?;
    registry.register(Box::new(jumps.clone()))?;
    Ok(jumps)
}
