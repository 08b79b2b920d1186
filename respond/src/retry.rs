//! Retry policy of a sink: how often it tries, and how long it waits between attempts.

use weir_schema::Span;

/// How often and for how long a sink retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Delay before the second attempt; it doubles with each further attempt.
    pub retry_min: Span,
    pub retry_max: Span,
    /// An alert becomes a dead letter after this many attempts ...
    pub tries_max: u32,
    /// ... or after this long.
    pub age_max: Span,
}

impl RetryPolicy {
    /// Delay after `tries` attempts: it doubles with each, and `jitter` picks a value between half
    /// of it and all of it.
    pub(crate) fn delay(&self, tries: u32, jitter: f64) -> Span {
        let doublings = tries.saturating_sub(1).min(32);
        let whole = self.retry_min.0.saturating_mul(1 << doublings);
        let whole = whole.clamp(0, self.retry_max.0.max(0));
        Span(whole / 2 + ((whole / 2) as f64 * jitter.clamp(0.0, 1.0)) as i64)
    }
}
