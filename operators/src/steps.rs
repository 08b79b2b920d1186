//! Counts the steps of a worker's thread, so that a long epoch can be told from a stalled one.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Facts or anchors that are one step. An epoch may have millions of either, even in one group.
const STEP_ITEMS: usize = 64;

thread_local! {
    static STEPS: OnceCell<Arc<AtomicU64>> = const { OnceCell::new() };
}

/// Counts the steps of this thread in `counter` from now on. The first call decides.
pub fn count_steps_in(counter: Arc<AtomicU64>) {
    STEPS.with(|steps| drop(steps.set(counter)));
}

/// Counts one step: an item of work, a decoded frame, or an evaluated group.
///
/// A batch has up to 65,535 frames, and costly rules may take milliseconds for each.
///
/// **Cost.** One relaxed addition to a counter that only this thread changes.
pub fn count_step() {
    STEPS.with(|steps| {
        if let Some(counter) = steps.get() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Counts a step for one item of many, by its number: facts, anchors.
pub fn count_item(number: usize) {
    if number.is_multiple_of(STEP_ITEMS) {
        count_step();
    }
}

/// The steps that this thread has counted. The first call begins to count.
#[cfg(test)]
pub fn counted_steps() -> u64 {
    count_steps_in(Arc::default());
    let read = |counter: &Arc<AtomicU64>| counter.load(Ordering::Relaxed);
    STEPS.with(|steps| steps.get().map_or(0, read))
}
