//! How far the feeder is ahead of the results: by about a second of work.
//!
//! Epochs that the graph already has are finished with the rules that they found. So an edit takes
//! effect soon only if few of them wait, however slow the rules are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use weir_schema::Epoch;

/// The work that may wait in the graph.
const AHEAD: Duration = Duration::from_secs(1);

/// The least time over which the speed of the graph is measured.
const MEASURED: Duration = Duration::from_millis(250);

/// Epochs that may always wait, so that no worker is idle between two.
const ALWAYS: usize = 2;

/// The epochs that were sent and are not done. Pure: its clock is an argument.
#[derive(Debug, Default)]
pub struct Pace {
    sent: VecDeque<(Epoch, u64)>,
    /// The sum of their events.
    waiting: u64,
    /// Events a second; `None` until it was measured.
    speed: Option<f64>,
    /// Since when the graph has had work without a pause, and the events done since.
    busy: Option<(Instant, u64)>,
}

impl Pace {
    /// Notes an epoch that the workers now have.
    pub fn sent(&mut self, now: Instant, epoch: Epoch, events: u64) {
        if self.sent.is_empty() {
            self.busy = Some((now, 0));
        }
        self.sent.push_back((epoch, events));
        self.waiting += events;
    }

    /// Notes that all epochs up to this one are done.
    pub fn done(&mut self, now: Instant, last: Epoch) {
        let Some((since, mut events)) = self.busy else {
            return; // Nothing was sent.
        };
        while let Some((_, done)) = self.sent.pop_front_if(|(epoch, _)| *epoch <= last) {
            self.waiting -= done;
            events += done;
        }
        let elapsed = now.saturating_duration_since(since);
        self.busy = if elapsed >= MEASURED && events > 0 {
            self.speed = Some(events as f64 / elapsed.as_secs_f64());
            Some((now, 0))
        } else {
            Some((since, events))
        };
    }

    /// The epoch that must be done before a further one is sent, if any.
    #[must_use]
    pub fn awaited(&self) -> Option<Epoch> {
        let speed = self.speed?;
        let is_ahead = self.waiting as f64 > speed * AHEAD.as_secs_f64();
        let oldest = self.sent.front().map(|(epoch, _)| *epoch);
        oldest.filter(|_| is_ahead && self.sent.len() > ALWAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many epochs as may wait to a graph with this speed, for a minute. Returns how many
    /// events waited at most in its second half.
    fn waiting_at(speed: u64, epoch_events: u64) -> u64 {
        let (mut pace, mut next, mut most) = (Pace::default(), 1, 0);
        let start = Instant::now();
        for millis in 0..60_000 {
            let now = start + Duration::from_millis(millis);
            let done = speed * millis / 1_000 / epoch_events;
            pace.done(now, Epoch(done.min(next - 1)));
            // As many epochs as the channels take.
            while pace.awaited().is_none() && pace.sent.len() < 12 {
                pace.sent(now, Epoch(next), epoch_events);
                next += 1;
            }
            if millis > 30_000 {
                most = most.max(pace.waiting);
            }
        }
        most
    }

    #[test]
    fn about_a_second_of_work_waits() {
        assert_eq!(
            waiting_at(400_000, 10_000),
            120_000,
            "the channels are full"
        );
        // Epochs are done whole, so the speed is known to within some of them.
        let waiting = waiting_at(2_000, 400);
        assert!((2_000..=4_000).contains(&waiting), "{waiting}");
        let waiting = waiting_at(467, 400);
        assert!((800..=1_600).contains(&waiting), "{waiting}");
    }

    #[test]
    fn a_graph_that_is_done_at_once_is_not_slowed() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for n in 1..1_000u64 {
            let now = start + Duration::from_millis(20 * n);
            pace.sent(now, Epoch(n), 2);
            pace.done(now + Duration::from_millis(1), Epoch(n));
            assert_eq!(pace.awaited(), None);
        }
        assert_eq!((pace.speed, pace.waiting), (None, 0));
    }
}
