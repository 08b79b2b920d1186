//! The events of a batch that do not stand at the time that they state, for the source monitor.

use std::collections::BTreeMap;

use weir_schema::{
    Batch, BatchSeq, Event, EventId, EventTime, EvidenceItem, HostKey, Position, SourceKey,
    TenantKey, TimeMark,
};

use crate::sources::{MarkedFrames, host_key, inner_host};

/// Gathers marked events by the host that they name.
///
/// Only the monitor knows the settled line, so events that may be late are gathered by their times,
/// too. Few batches have any.
pub struct MarkedFrameBuilder<'b> {
    batch: &'b Batch,
    seq: BatchSeq,
    tenant: TenantKey,
    source: SourceKey,
    found: BTreeMap<(Option<HostKey>, TimeMark, EventTime), MarkedFrames>,
}

impl<'b> MarkedFrameBuilder<'b> {
    pub fn new(batch: &'b Batch, seq: BatchSeq, source: SourceKey, tenant: TenantKey) -> Self {
        Self {
            batch,
            seq,
            tenant,
            source,
            found: BTreeMap::new(),
        }
    }

    /// Adds the event of the frame at `place`, if it has a mark or may be late.
    pub fn add(&mut self, place: usize, event: &Event<'_>, may_be_late: bool) {
        let late = may_be_late.then_some(TimeMark::LateBeyondHorizon);
        let Some(mark) = event.time_mark().or(late) else {
            return;
        };
        let Some(frame) = self.batch.frames.get(place) else {
            return;
        };
        let host = inner_host(event, &self.batch.source).map(|host| host_key(&host));
        // Those with a mark stand at their receipt, so all of a batch have one time.
        let frames = self.found.entry((host, mark, event.time));
        let frames = frames.or_insert_with(|| MarkedFrames {
            tenant: self.tenant,
            source: self.source,
            host,
            received: self.batch.received,
            mark,
            stated: event.time,
            first: EvidenceItem {
                time: EventTime(self.batch.received.0),
                event: EventId::for_frame(self.source, event.time, frame),
                position: Position::new(self.seq, u16::try_from(place).unwrap_or(u16::MAX)),
            },
            events: 0,
        });
        frames.events += 1;
    }

    pub fn finish(self) -> impl Iterator<Item = MarkedFrames> {
        self.found.into_values()
    }
}
