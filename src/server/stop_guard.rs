//! Bounds the stop of the process: a part that does not stop is left behind, and named.

use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest stop of all parts together. What then still runs is left behind.
pub const STOP_MAX: Duration = Duration::from_secs(16);

/// Longest stop of the process, if even the parts' own limits are not kept.
pub const EXIT_AFTER: Duration = Duration::from_secs(18);

/// Longest time for the last log line: whoever reads the log may not read on.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// The part that is being stopped, for the last log line.
#[derive(Clone, Debug, Default)]
pub struct StopStage(Arc<Mutex<&'static str>>);

impl StopStage {
    fn enter(&self, part: &'static str) {
        // One word is replaced, so a panic elsewhere leaves nothing half-done.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = part;
    }

    #[must_use]
    pub fn part(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stop of all parts, one after the other, each within what is left of [`STOP_MAX`].
pub struct PartStops {
    stage: StopStage,
    deadline: Instant,
    left: Vec<&'static str>,
}

impl PartStops {
    #[must_use]
    pub fn begin(stage: &StopStage) -> Self {
        Self {
            stage: stage.clone(),
            deadline: Instant::now() + STOP_MAX,
            left: Vec::new(),
        }
    }

    /// Stops a part; `None` if it did not stop within `limit`.
    pub async fn stop<T>(
        &mut self,
        part: &'static str,
        limit: Duration,
        stop: impl Future<Output = T>,
    ) -> Option<T> {
        self.stage.enter(part);
        let limit = limit.min(self.deadline.saturating_duration_since(Instant::now()));
        let stopped = tokio::time::timeout(limit, stop).await.ok();
        if stopped.is_none() {
            let seconds = limit.as_secs();
            tracing::error!(part, seconds, "a part does not stop; Weir stops without it");
            self.left.push(part);
        }
        stopped
    }

    /// The parts that did not stop.
    #[must_use]
    pub fn left(self) -> Vec<&'static str> {
        self.left
    }
}

/// Ends the process unless it is dropped before the limit.
///
/// It has a thread of its own, so it works whatever holds up all others.
#[derive(Debug)]
pub struct StopGuard {
    /// Closing the channel ends the thread.
    _armed: SyncSender<()>,
}

impl StopGuard {
    /// Arms the guard. After `limit` it runs `last_words`, which logs and marks, for a second at
    /// most, and ends the process with `code`.
    pub fn arm(limit: Duration, code: u8, last_words: impl FnOnce() + Send + 'static) -> Self {
        let (armed, disarmed) = sync_channel(0);
        let guard = move || end_after(&disarmed, limit, code, last_words);
        if let Err(error) = std::thread::Builder::new()
            .name("weir-stop".to_owned())
            .spawn(guard)
        {
            tracing::warn!(%error, "the stop has no limit, because a thread cannot be started");
        }
        Self { _armed: armed }
    }
}

fn end_after(
    disarmed: &Receiver<()>,
    limit: Duration,
    code: u8,
    last_words: impl FnOnce() + Send + 'static,
) {
    if disarmed.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let (spoken, heard) = sync_channel::<()>(0);
    let speak = move || {
        let _spoken = spoken; // Closes the channel at the end.
        last_words();
    };
    if std::thread::Builder::new().spawn(speak).is_ok() {
        let _ = heard.recv_timeout(LAST_WORDS_MAX);
    }
    process::exit(code.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_is_dropped_ends_nothing() {
        let guard = StopGuard::arm(Duration::from_secs(3_600), 75, || {
            panic!("the guard was dropped in time");
        });
        drop(guard);
    }

    #[test]
    fn a_part_that_does_not_stop_is_left_and_named() {
        let stage = StopStage::default();
        actix_rt::System::new().block_on(async {
            let mut stops = PartStops::begin(&stage);
            let limit = Duration::from_secs(3_600);
            assert_eq!(stops.stop("listeners", limit, async { 7 }).await, Some(7));
            let never = std::future::pending::<()>();
            assert_eq!(stops.stop("graph", Duration::ZERO, never).await, None);
            assert_eq!(stage.part(), "graph");
            assert_eq!(stops.left(), ["graph"]);
        });
    }
}
