//! The working time of rules in detection, by samples.

use weir_detect::Measure;
use weir_schema::{RuleTimes, Stopwatch};

/// One event of so many is measured: a measured one costs a reading of the clock for each rule.
const SAMPLE_EVENTS: u64 = 64;

/// Times are reported when the sampled ones add up to this, or every so many batches.
const REPORT_NANOS: u64 = 5_000_000 / SAMPLE_EVENTS;
const REPORT_EVERY_BATCHES: u32 = 64;

/// The times of the sampled events since the last report.
#[derive(Debug, Default)]
pub struct DetectMeter {
    events: u64,
    batches: u32,
    times: RuleTimes,
}

impl DetectMeter {
    /// Where to measure the next event, if it is a sample.
    pub fn measure_next(&mut self, stopwatch: Option<Stopwatch>) -> Option<Measure<'_>> {
        let stopwatch = stopwatch?;
        self.events += 1;
        self.events
            .is_multiple_of(SAMPLE_EVENTS)
            .then_some(Measure {
                stopwatch,
                times: &mut self.times,
            })
    }

    /// Takes the estimated times of all events, if they are worth a report, after a batch.
    pub fn report(&mut self) -> Option<RuleTimes> {
        self.batches += 1;
        let is_due = self.times.total() >= REPORT_NANOS || self.batches >= REPORT_EVERY_BATCHES;
        if !is_due || self.times.0.is_empty() {
            return None;
        }
        self.batches = 0;
        let mut times = std::mem::take(&mut self.times);
        for nanos in times.0.values_mut() {
            *nanos = nanos.saturating_mul(SAMPLE_EVENTS);
        }
        Some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_of_many_is_measured_and_stands_for_all() {
        let mut meter = DetectMeter::default();
        let rule = "r".into();
        let mut samples = 0;
        for _ in 0..10 * SAMPLE_EVENTS {
            if let Some(measure) = meter.measure_next(Some(Stopwatch(|| 0))) {
                measure.times.add(&rule, REPORT_NANOS);
                samples += 1;
            }
        }
        assert_eq!(samples, 10);
        let report = meter.report().expect("it is due");
        assert_eq!(report.total(), 10 * REPORT_NANOS * SAMPLE_EVENTS);
        assert_eq!(meter.report(), None);
        assert!(meter.measure_next(None).is_none());
    }
}
