//! The rate of a source: its events per minute, and their usual number.

use weir_schema::{ReceiveTime, SourceBounds};

/// The usual number is the mean over this many minutes: a day.
const USUAL_MINUTES: u64 = 1_440;

/// The number of minutes after which the usual number is known.
const KNOWN_MINUTES: u64 = 60;

const MINUTE_NS: i64 = 60_000_000_000;

/// The events of a source per minute of receipt.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventRate {
    /// The current minute, since 1970.
    minute: i64,
    pub in_minute: u64,
    /// The events of the last complete minute.
    pub previous_minute: u64,
    /// The usual number per minute, in thousandths of an event.
    usual_thousandths: u64,
    /// The number of complete minutes, at most [`USUAL_MINUTES`].
    minutes: u64,
}

impl EventRate {
    /// Completes the minutes before `now`.
    pub fn advance(&mut self, now: ReceiveTime, bounds: &SourceBounds) {
        let minute = now.0.div_euclid(MINUTE_NS);
        if minute <= self.minute {
            return;
        }
        let empty = minute.saturating_sub(self.minute).saturating_sub(1);
        self.complete(self.in_minute, bounds);
        // After a day without events, the usual number is zero.
        let empty = u64::try_from(empty).unwrap_or(0);
        for _ in 0..empty.min(USUAL_MINUTES) {
            self.complete(0, bounds);
        }
        (self.minute, self.in_minute) = (minute, 0);
    }

    /// Continues at `now`, without completing the minutes before it.
    pub fn skip_to(&mut self, now: ReceiveTime) {
        let minute = now.0.div_euclid(MINUTE_NS);
        if minute > self.minute {
            (self.minute, self.in_minute) = (minute, 0);
        }
    }

    /// Adds a complete minute to the mean.
    ///
    /// A flood counts as the largest number that is not a flood. Otherwise it would soon become
    /// usual.
    fn complete(&mut self, events: u64, bounds: &SourceBounds) {
        self.previous_minute = events;
        self.minutes = self.minutes.saturating_add(1).min(USUAL_MINUTES);
        let mut minute = events.saturating_mul(1_000);
        if bounds.flooding > 0 && self.minutes > KNOWN_MINUTES {
            let most = self.usual_thousandths.max(1_000);
            minute = minute.min(most.saturating_mul(u64::from(bounds.flooding)));
        }
        self.usual_thousandths = if minute >= self.usual_thousandths {
            self.usual_thousandths + (minute - self.usual_thousandths) / self.minutes
        } else {
            self.usual_thousandths - (self.usual_thousandths - minute) / self.minutes
        };
    }

    /// The most events in a minute that are not a flood.
    pub fn most(&self, bounds: &SourceBounds) -> u64 {
        if bounds.flooding == 0 || self.minutes < KNOWN_MINUTES {
            return u64::MAX;
        }
        let usual = self.usual_thousandths / 1_000;
        usual
            .saturating_mul(u64::from(bounds.flooding))
            .max(bounds.flooding_events_min)
    }
}
