//! How often and how long a sink tries, and how long it waits in between.

use weir_schema::Span;

/// Longest pause that a consumer can ask for.
pub const PAUSE_MAX: Span = Span::seconds(3_600);

/// How often, and how long, is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before the second try; doubled with each.
    pub retry_min: Span,
    pub retry_max: Span,
    /// After so many tries an alert is given up ...
    pub tries_max: u32,
    /// ... or after this long.
    pub age_max: Span,
}

impl Patience {
    /// How long to wait after so many tries: doubled with each, and between half and all of that.
    pub(super) fn delay(&self, tries: u32, jitter: f64) -> Span {
        let doublings = tries.saturating_sub(1).min(32);
        let whole = self.retry_min.0.saturating_mul(1 << doublings);
        let whole = whole.clamp(0, self.retry_max.0.max(0));
        Span(whole / 2 + ((whole / 2) as f64 * jitter.clamp(0.0, 1.0)) as i64)
    }
}
