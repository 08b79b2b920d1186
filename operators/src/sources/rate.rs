//! How many events a minute come, and how many usually do.

use weir_schema::{ReceiveTime, SourceBounds};

/// A day: what a source sends usually is its mean over so many minutes.
const USUAL_MINUTES: u64 = 1_440;

/// Minutes after which it is known what is usual.
const KNOWN_MINUTES: u64 = 60;

const MINUTE_NS: i64 = 60_000_000_000;

/// Events a minute, and what is usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    minute: i64,
    pub in_minute: u64,
    /// The last minute that is over.
    pub before: u64,
    /// Thousandths of an event a minute.
    usual: u64,
    minutes: u64,
}

impl Rate {
    /// Ends the minutes before `now`.
    pub fn advance(&mut self, now: ReceiveTime, bounds: &SourceBounds) {
        let minute = now.0.div_euclid(MINUTE_NS);
        if minute <= self.minute {
            return;
        }
        let empty = minute.saturating_sub(self.minute).saturating_sub(1);
        self.end(self.in_minute, bounds);
        // After a day without any, nothing is usual.
        let empty = u64::try_from(empty).unwrap_or(0);
        for _ in 0..empty.min(USUAL_MINUTES) {
            self.end(0, bounds);
        }
        (self.minute, self.in_minute) = (minute, 0);
    }

    /// Goes on from `now`, as if the minutes until then had not been.
    pub fn skip_to(&mut self, now: ReceiveTime) {
        let minute = now.0.div_euclid(MINUTE_NS);
        if minute > self.minute {
            (self.minute, self.in_minute) = (minute, 0);
        }
    }

    /// A flood counts for no more than what is just none, so that it is not soon what is usual.
    fn end(&mut self, events: u64, bounds: &SourceBounds) {
        self.before = events;
        self.minutes = self.minutes.saturating_add(1).min(USUAL_MINUTES);
        let mut minute = events.saturating_mul(1_000);
        if bounds.flooding > 0 && self.minutes > KNOWN_MINUTES {
            let most = self.usual.max(1_000);
            minute = minute.min(most.saturating_mul(u64::from(bounds.flooding)));
        }
        self.usual = if minute >= self.usual {
            self.usual + (minute - self.usual) / self.minutes
        } else {
            self.usual - (self.usual - minute) / self.minutes
        };
    }

    /// The most events of a minute that is no flood.
    pub fn most(&self, bounds: &SourceBounds) -> u64 {
        if bounds.flooding == 0 || self.minutes < KNOWN_MINUTES {
            return u64::MAX;
        }
        let usual = self.usual / 1_000;
        usual
            .saturating_mul(u64::from(bounds.flooding))
            .max(bounds.flooding_least)
    }
}
