//! The context in which the frames of a batch are decoded.

use weir_parse::{Context, Zone};
use weir_schema::{Batch, LogSource, Span, TimeBounds};

/// The context of the frames of one batch, computed once per batch.
pub struct BatchContext<'b> {
    batch: &'b Batch,
    zone: Zone,
    logsource: Option<LogSource>,
    time_field: Option<&'b str>,
    future_tolerance: Span,
}

impl<'b> BatchContext<'b> {
    /// Computes the context of a batch.
    ///
    /// An unreadable zone is taken as UTC and an unreadable log source as none: the configuration
    /// has checked them.
    #[must_use]
    pub fn of(batch: &'b Batch, bounds: &TimeBounds, time_field: Option<&'b str>) -> Self {
        let zone = batch.zone.as_deref().and_then(Zone::parse);
        let logsource = batch.logsource.as_deref();
        Self {
            batch,
            zone: zone.unwrap_or(Zone::UTC),
            logsource: logsource.and_then(|text| weir_parse::parse_logsource(text).ok()),
            time_field,
            future_tolerance: bounds.future_tolerance,
        }
    }

    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            format: self.batch.format,
            received: self.batch.received,
            zone: self.zone,
            logsource: self.logsource.as_ref(),
            time_field: self.time_field,
            future_tolerance: self.future_tolerance,
        }
    }
}
