//! Batches: decodes each frame, runs the detector, and collects facts, observations and notes.

use weir_detect::EventOrigin;
use weir_schema::{
    Batch, BatchSeq, Event, EventId, EventTime, Fact, FactValue, LogSource, PlanId, Position,
    Problem, ReceiveTime, SourceKey, Span, TenantKey, TimeMark, Weight,
};

use super::Decoder;
use crate::clock::Observation;
use crate::decode::context::BatchContext;
use crate::decode::marked_frames::MarkedFrameBuilder;
use crate::decode::output::DecodeOutput;
use crate::decode::source_batch::SourceBatchBuilder;
use crate::note::{BatchNote, Note};
use crate::sources::SourceNote;
use crate::steps::count_step;

/// The columns that the facts of a batch share. The keys are hashes, made once.
#[derive(Clone, Copy)]
struct BatchOrigin {
    tenant: TenantKey,
    source: SourceKey,
    received: ReceiveTime,
}

/// The event of facts: the columns that they share.
struct FactOrigin<'f> {
    tenant: TenantKey,
    source: SourceKey,
    frame: &'f [u8],
    time: EventTime,
    position: Position,
    weight: Weight,
    received: ReceiveTime,
    time_mark: Option<TimeMark>,
}

/// The plans that read a batch of the past, and which of its events they lack.
pub(super) struct BackfillReader<'b> {
    pub plans: &'b [PlanId],
    pub lacks: &'b dyn Fn(PlanId, EventTime) -> bool,
}

impl<'b> FactOrigin<'b> {
    fn of(batch: BatchOrigin, event: &Event<'_>, frame: &'b [u8], position: Position) -> Self {
        Self {
            tenant: batch.tenant,
            source: batch.source,
            frame,
            time: event.time,
            position,
            weight: event.weight,
            received: batch.received,
            time_mark: event.time_mark(),
        }
    }
}

impl Decoder {
    /// Decodes the frames of a batch; for `backfill` alone, if given, and then without reports.
    pub(super) fn decode_batch(
        &mut self,
        seq: BatchSeq,
        batch: &Batch,
        backfill: Option<&BackfillReader<'_>>,
        output: &mut DecodeOutput,
    ) {
        let only = backfill.map(|reader| reader.plans);
        let time_field = self.emit.time_field.clone();
        let frames = BatchContext::of(batch, &self.bounds, time_field.as_deref());
        let shared = BatchOrigin {
            tenant: batch.tenant_key(),
            source: batch.source_key(),
            received: batch.received,
        };
        let BatchOrigin { tenant, source, .. } = shared;
        let mut note = empty_note(seq, source);
        let mut summary = SourceBatchBuilder::new(batch, &self.source_bounds);
        let mut marked = MarkedFrameBuilder::new(batch, seq, source, tenant);
        let origin = EventOrigin {
            tenant,
            source: &batch.source,
        };
        for (place, frame) in batch.frames.iter().enumerate() {
            let position = Position::new(seq, u16::try_from(place).unwrap_or(u16::MAX));
            let mut event = weir_parse::decode(frame, &frames.context());
            note.add_event(&event);
            summary.add(place, &event);
            self.detect(&event, origin, only);
            if only.is_none() {
                self.report(position, &event, &mut note, output);
            }
            note.ungrouped += u64::from(self.detected.ungrouped);
            note.valueless += u64::from(self.detected.valueless);
            let facts = FactOrigin::of(shared, &event, frame, position);
            note.facts += self.take_facts(&facts, backfill, output);
            // A backfill reads nothing before the settled line.
            let may_be_late = backfill.is_none() && self.may_be_late(&facts);
            marked.add(place, &event, may_be_late);
            if may_be_late {
                event.time = EventTime(batch.received.0);
                self.detect(&event, origin, only);
                self.take_late_facts(facts, output);
            }
        }
        output.notes.extend(self.meter.report().map(Note::Times));
        if only.is_none() {
            output.observations.push(observation(batch, &note));
            if self.source_bounds.is_on() {
                let summary = summary.finish(seq, tenant, source);
                output.sources.extend(summary.map(SourceNote::Batch));
                let marked = marked.finish();
                output.sources.extend(marked.map(SourceNote::Marked));
            }
            output.notes.push(Note::Batch(note));
        }
    }

    /// Runs the rules over an event; measures them for one event of many.
    fn detect(&mut self, event: &Event<'_>, origin: EventOrigin<'_>, only: Option<&[PlanId]>) {
        count_step();
        let (book, detected) = (&self.book, &mut self.detected);
        let meter = &mut self.meter;
        match meter.measure_next(self.emit.stopwatch) {
            Some(measure) => {
                let detector = &mut self.detector;
                detector.detect_measured(book, event, origin, only, detected, measure);
            }
            None => self.detector.detect(book, event, origin, only, detected),
        }
    }

    /// Whether the event may lie before the settled line when its facts arrive.
    ///
    /// The line is at least a horizon behind every receipt, give or take the tolerance and what the
    /// clocks of receivers differ. Half a horizon is enough for both.
    fn may_be_late(&self, facts: &FactOrigin<'_>) -> bool {
        let horizon = self.bounds.horizon;
        let near = horizon.map(|horizon| facts.received.minus(Span(horizon.0 / 2)));
        facts.time_mark.is_none() && near.is_some_and(|near| facts.time.0 < near.0)
    }

    /// Emits the facts of an event that may be late, as the rules in force at its receipt see it.
    /// The event was detected at its receipt.
    fn take_late_facts(&mut self, origin: FactOrigin<'_>, output: &mut DecodeOutput) {
        let book = &self.book;
        let correlates = |plan| book.plan(plan).is_none_or(|plan| plan.correlates);
        let facts = &mut self.detected.facts;
        facts.retain(|draft| !correlates(draft.plan));
        self.detected.links.clear();
        let late = FactOrigin {
            time_mark: Some(TimeMark::LateBeyondHorizon),
            ..origin
        };
        self.take_facts(&late, None, output);
    }

    /// Emits the facts of the event that was detected last. Returns their number.
    fn take_facts(
        &mut self,
        origin: &FactOrigin<'_>,
        backfill: Option<&BackfillReader<'_>>,
        output: &mut DecodeOutput,
    ) -> u64 {
        if let Some(reader) = backfill {
            // The links of a dropped fact may stay: they name groups, not events.
            let facts = &mut self.detected.facts;
            facts.retain(|draft| (reader.lacks)(draft.plan, origin.time));
        }
        if self.detected.facts.is_empty() {
            return 0;
        }
        self.emit_facts(origin, output);
        output.links.extend(self.detected.links.drain(..));
        self.detected.facts.len() as u64
    }

    /// Emits the facts of the event that was detected last.
    fn emit_facts(&self, origin: &FactOrigin<'_>, output: &mut DecodeOutput) {
        let event = EventId::for_frame(origin.source, origin.time, origin.frame);
        for draft in &self.detected.facts {
            let fact = Fact {
                plan: draft.plan,
                tenant: origin.tenant,
                group: draft.group,
                time: origin.time,
                event,
                position: origin.position,
                members: draft.members,
                value: match self.silences.contains(&draft.plan) {
                    true => FactValue::from(origin.source),
                    false => draft.value,
                },
                weight: origin.weight,
                received: origin.received,
                time_mark: origin.time_mark,
            };
            match self.stages.get(&draft.plan) {
                Some(stage) => output.chain_facts.push((*stage, fact)),
                None => output.facts.push(fact),
            }
        }
    }

    /// Counts the matches and problems of an event, and emits the requested notes.
    fn report(
        &self,
        position: Position,
        event: &Event<'_>,
        note: &mut BatchNote,
        output: &mut DecodeOutput,
    ) {
        note.matches += self.detected.matches.len() as u64;
        note.events_with_problems += u64::from(!event.problems.is_empty());
        if !event.problems.is_empty() || event.logsource == LogSource::default() {
            note.unread += 1;
            if note.unread_samples.len() < BatchNote::UNREAD_SAMPLES_MAX {
                note.unread_samples.push(position);
            }
        }
        for problem in &event.problems {
            if let Some(place) = Problem::ALL.iter().position(|known| known == problem) {
                note.problems[place] += 1;
            }
            if self.emit.problems {
                output.notes.push(Note::Problem(position, *problem));
            }
        }
        if self.emit.matches {
            let matches = self.detected.matches.iter();
            let notes = matches.map(|rule| Note::Match(position, rule.clone()));
            output.notes.extend(notes);
        }
        if self.emit.events {
            let json = weir_parse::event_json(event);
            output.notes.push(Note::Event(position, json));
        }
    }
}

fn empty_note(batch: BatchSeq, source: SourceKey) -> BatchNote {
    BatchNote {
        batch,
        greatest: EventTime::MIN,
        latest: EventTime::MIN,
        events: 0,
        matches: 0,
        facts: 0,
        ungrouped: 0,
        valueless: 0,
        problems: [0; Problem::ALL.len()],
        events_with_problems: 0,
        unread: 0,
        unread_samples: Vec::new(),
        source,
    }
}

/// The observation of a batch: its source's time, or only its receipt if no time is credible.
fn observation(batch: &Batch, note: &BatchNote) -> Observation {
    if note.greatest > EventTime::MIN {
        Observation::SourceTime {
            tenant: batch.tenant_key(),
            source: note.source,
            time: note.greatest,
            received: batch.received,
        }
    } else {
        Observation::Now(batch.received)
    }
}
