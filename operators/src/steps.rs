//! Counts the steps of a worker's thread, so that a long epoch can be told from a stalled one.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static STEPS: OnceCell<Arc<AtomicU64>> = const { OnceCell::new() };
}

/// Counts the steps of this thread in `counter` from now on. The first call decides.
pub fn count_steps_in(counter: Arc<AtomicU64>) {
    STEPS.with(|steps| drop(steps.set(counter)));
}

/// Counts one step: a decoded batch, or an evaluated group.
///
/// **Cost.** One relaxed addition to a counter that only this thread changes.
pub fn count_step() {
    STEPS.with(|steps| {
        if let Some(counter) = steps.get() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
}
