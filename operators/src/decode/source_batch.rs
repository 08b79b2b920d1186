//! The summary of a batch for the source monitor.

use weir_schema::{
    Batch, BatchSeq, Event, EventId, EventTime, EvidenceItem, Position, SourceBounds, SourceKey,
    Span, TenantKey,
};

use crate::sources::SourceBatch;

/// The place of a frame in its batch, and its event time.
#[derive(Clone, Copy)]
struct TimedFrame {
    time: EventTime,
    place: usize,
}

/// Gathers the newest event of a batch, and the events that are ahead of their receipt.
pub struct SourceBatchBuilder<'b> {
    batch: &'b Batch,
    clock_skew: Option<Span>,
    first: Option<TimedFrame>,
    newest: Option<TimedFrame>,
    skewed: u64,
    first_skewed: Option<TimedFrame>,
}

impl<'b> SourceBatchBuilder<'b> {
    pub fn new(batch: &'b Batch, bounds: &SourceBounds) -> Self {
        Self {
            batch,
            clock_skew: Some(bounds.clock_skew).filter(|skew| skew.0 > 0),
            first: None,
            newest: None,
            skewed: 0,
            first_skewed: None,
        }
    }

    /// Adds the event of the frame at `place`. Its clock is judged by the time that it states.
    pub fn add(&mut self, place: usize, event: &Event<'_>) {
        let time = event.time;
        let frame = TimedFrame { time, place };
        self.first = self.first.or(Some(frame));
        let newer = self.newest.is_none_or(|newest| time > newest.time);
        if newer && event.time_mark().is_none() {
            self.newest = Some(frame);
        }
        let stated = event.stated.unwrap_or(time);
        if let Some(skew) = self.clock_skew
            && stated.0 > self.batch.received.plus(skew).0
        {
            self.skewed += 1;
            self.first_skewed = self.first_skewed.or(Some(frame));
        }
    }

    /// The summary; `None` for an empty batch.
    pub fn finish(
        &self,
        seq: BatchSeq,
        tenant: TenantKey,
        source: SourceKey,
    ) -> Option<SourceBatch> {
        let item = |TimedFrame { time, place }| {
            let frame = self.batch.frames.get(place)?;
            Some(EvidenceItem {
                time,
                event: EventId::for_frame(source, time, frame),
                position: Position::new(seq, u16::try_from(place).unwrap_or(u16::MAX)),
            })
        };
        let newest = self.newest.or(self.first).and_then(item)?;
        Some(SourceBatch {
            tenant,
            source,
            received: self.batch.received,
            events: self.batch.frames.len() as u64,
            newest,
            credible: self.newest.is_some(),
            skewed: self.skewed,
            first_skewed: self.first_skewed.and_then(item),
        })
    }
}
