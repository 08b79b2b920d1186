//! Bytes to facts: decodes the frames of a batch, runs the rules over each event, keeps what matters.
//!
//! Pure per frame. Control entries of an epoch come before its batches, so an epoch's events meet
//! the rules of that epoch; what came before a new rule is handed in again as [`Work::Backfill`],
//! with them or, where it is much, in steps ([`crate::past`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use weir_detect::{Detected, Detector, PlanChange, RuleBook};
use weir_parse::{Context, Zone};
use weir_schema::{
    Batch, BatchSeq, Control, Epoch, Event, EventId, EventTime, EvidenceItem, Fact, FactValue,
    Level, Link, LogSource, Plan, PlanId, PlanKind, Position, Problem, RuleId, RuleVersion,
    SourceBounds, SourceKey, Span, TenantKey, TimeBounds,
};

use crate::clock::Observation;
use crate::correlate::Directive;
use crate::past::{self, Pasts, WhatIfs};
use crate::sources::{SourceHeard, SourceNote, Troubles};

/// What a worker is given to do, in order, within an epoch.
#[derive(Clone, Debug)]
pub enum Work {
    /// Given to every worker alike, before the batches of the epoch.
    Control(Arc<Control>),
    /// Of the journal of a process that does not lead: clocks hear it. Given to one worker.
    Heard(Arc<Control>),
    /// Given to one worker.
    Batch(BatchSeq, Arc<Batch>),
    /// The past of what is put in this epoch comes in steps. Given to every worker, before the
    /// control entries.
    InSteps,
    /// A batch of an earlier epoch, for the plans that were put in this one or, where their past
    /// comes in steps, in the epoch named. Given to one worker.
    Backfill(Epoch, BatchSeq, Arc<Batch>),
    /// The past of what was put in this epoch is read. Given to every worker.
    Through(Epoch),
}

/// What is reported of the work, on the worker that did it.
#[derive(Clone, Debug)]
pub enum Note {
    Batch(BatchNote),
    /// A rule matched an event. Only where asked for.
    Match(Position, RuleId),
    /// A normalized event as JSON. Only where asked for.
    Event(Position, String),
    /// Something is wrong with the frame at this place. Only where asked for.
    Problem(Position, Problem),
    /// A rule entry was refused or warned of; reported by the first worker.
    Diagnostic(String),
    /// How many sources are in trouble now; reported where it changed.
    Sources(Troubles),
}

/// What one batch came to.
#[derive(Clone, Debug)]
pub struct BatchNote {
    pub batch: BatchSeq,
    /// The greatest credible event time in it.
    pub greatest: EventTime,
    pub events: u64,
    pub matches: u64,
    pub facts: u64,
    /// Facts without a group, since a group-by field was missing.
    pub ungrouped: u64,
    /// Facts without the value that their plan computes with.
    pub valueless: u64,
    /// By place in [`Problem::ALL`].
    pub problems: [u64; Problem::ALL.len()],
    /// Events with a problem, whatever their number of problems.
    pub troubled: u64,
    pub source: SourceKey,
}

/// What notes to write besides those of batches.
#[derive(Clone, Debug, Default)]
pub struct Emit {
    pub matches: bool,
    pub events: bool,
    pub problems: bool,
    /// JSON field that holds the event time, before the customary ones.
    pub time_field: Option<String>,
}

/// Level of a version of a plan that was put in place in an epoch, as a row of the collection of
/// rules.
pub type RuleRow = ((PlanId, Epoch, RuleVersion), Level);

/// The streams that leave the decoder.
pub struct Decoded<'scope> {
    pub facts: Stream<'scope, u64, Vec<Fact>>,
    /// Facts of plans that hear others, with the stages of these.
    pub above: Stream<'scope, u64, Vec<(u8, Fact)>>,
    pub links: Stream<'scope, u64, Vec<Vec<Link>>>,
    pub observations: Stream<'scope, u64, Vec<Observation>>,
    pub sources: Stream<'scope, u64, Vec<SourceNote>>,
    /// On the first worker only.
    pub directives: Stream<'scope, u64, Vec<Directive>>,
    /// On the first worker only.
    pub rules: Stream<'scope, u64, Vec<(RuleRow, u64, isize)>>,
    pub notes: Stream<'scope, u64, Vec<Note>>,
}

/// Decodes and detects; `first` tells whether this is the first worker, which speaks for the rules.
pub fn decode<'scope>(
    work: Stream<'scope, u64, Vec<Work>>,
    first: bool,
    emit: Emit,
) -> Decoded<'scope> {
    let mut builder = OperatorBuilder::new("Decode".to_owned(), work.scope());
    let mut input = builder.new_input(work, Pipeline);
    let (facts, facts_stream) = builder.new_output();
    let (above, above_stream) = builder.new_output();
    let (links, links_stream) = builder.new_output();
    let (observations, observations_stream) = builder.new_output();
    let (sources, sources_stream) = builder.new_output();
    let (directives, directives_stream) = builder.new_output();
    let (rules, rules_stream) = builder.new_output();
    let (notes, notes_stream) = builder.new_output();
    let mut facts = OutputBuilder::<u64, CapacityContainerBuilder<Vec<Fact>>>::from(facts);
    let mut above = OutputBuilder::<u64, CapacityContainerBuilder<Vec<(u8, Fact)>>>::from(above);
    let mut links = OutputBuilder::<u64, CapacityContainerBuilder<Vec<Vec<Link>>>>::from(links);
    let mut observations =
        OutputBuilder::<u64, CapacityContainerBuilder<Vec<Observation>>>::from(observations);
    let mut sources =
        OutputBuilder::<u64, CapacityContainerBuilder<Vec<SourceNote>>>::from(sources);
    let mut directives =
        OutputBuilder::<u64, CapacityContainerBuilder<Vec<Directive>>>::from(directives);
    let mut rules =
        OutputBuilder::<u64, CapacityContainerBuilder<Vec<(RuleRow, u64, isize)>>>::from(rules);
    let mut notes = OutputBuilder::<u64, CapacityContainerBuilder<Vec<Note>>>::from(notes);
    builder.build(move |_capabilities| {
        let mut decoder = Decoder::new(first, emit);
        move |_frontiers| {
            let mut facts = facts.activate();
            let mut above = above.activate();
            let mut links = links.activate();
            let mut observations = observations.activate();
            let mut sources = sources.activate();
            let mut directives = directives.activate();
            let mut rules = rules.activate();
            let mut notes = notes.activate();
            input.for_each(|capability, data| {
                let Some(epoch) = capability.least().copied() else {
                    return;
                };
                let mut out = Out::default();
                for work in data.drain(..) {
                    decoder.take(epoch, work, &mut out);
                }
                facts
                    .session(&capability)
                    .give_iterator(out.facts.into_iter());
                above
                    .session(&capability)
                    .give_iterator(out.above.into_iter());
                links
                    .session(&capability)
                    .give_iterator(out.links.into_iter());
                observations
                    .session(&capability)
                    .give_iterator(out.observations.into_iter());
                sources
                    .session(&capability)
                    .give_iterator(out.sources.into_iter());
                directives
                    .session(&capability)
                    .give_iterator(out.directives.into_iter());
                let updates = out.rules.into_iter().map(|(row, diff)| (row, epoch, diff));
                rules.session(&capability).give_iterator(updates);
                notes
                    .session(&capability)
                    .give_iterator(out.notes.into_iter());
            });
        }
    });
    Decoded {
        facts: facts_stream,
        above: above_stream,
        links: links_stream,
        observations: observations_stream,
        sources: sources_stream,
        directives: directives_stream,
        rules: rules_stream,
        notes: notes_stream,
    }
}

/// What a piece of work leads to.
#[derive(Default)]
struct Out {
    facts: Vec<Fact>,
    above: Vec<(u8, Fact)>,
    links: BTreeSet<Vec<Link>>,
    observations: Vec<Observation>,
    sources: Vec<SourceNote>,
    directives: Vec<Directive>,
    rules: Vec<(RuleRow, isize)>,
    notes: Vec<Note>,
}

impl Out {
    fn append(&mut self, mut said: Self) {
        self.facts.append(&mut said.facts);
        self.above.append(&mut said.above);
        self.links.append(&mut said.links);
        self.observations.append(&mut said.observations);
        self.sources.append(&mut said.sources);
        self.directives.append(&mut said.directives);
        self.rules.append(&mut said.rules);
        self.notes.append(&mut said.notes);
    }
}

struct Decoder {
    first: bool,
    emit: Emit,
    book: RuleBook,
    bounds: TimeBounds,
    source_bounds: SourceBounds,
    /// Plans that are new, for their backfill.
    past: Pasts,
    /// The rows of the collection of rules, so that a removal takes back exactly these.
    rows: BTreeMap<PlanId, (Epoch, Vec<(RuleVersion, Level)>)>,
    /// Plans about silence, whose facts tell their source.
    silences: BTreeSet<PlanId>,
    /// Stages of the plans that hear others.
    stages: BTreeMap<PlanId, u8>,
    detector: Detector,
    detected: Detected,
}

impl Decoder {
    fn new(first: bool, emit: Emit) -> Self {
        Self {
            first,
            emit,
            book: RuleBook::new(),
            bounds: TimeBounds::default(),
            source_bounds: SourceBounds::default(),
            past: Pasts::default(),
            rows: BTreeMap::new(),
            silences: BTreeSet::new(),
            stages: BTreeMap::new(),
            detector: Detector::new(),
            detected: Detected::default(),
        }
    }

    fn take(&mut self, epoch: u64, work: Work, out: &mut Out) {
        match work {
            Work::Control(control) => {
                let mut said = Out::default();
                self.control(Epoch(epoch), &control, &mut said);
                if self.first {
                    out.append(said);
                }
            }
            Work::Heard(control) => {
                // What governs is in the journal of the process that leads.
                if matches!(*control, Control::Tick { .. } | Control::Heartbeat { .. }) {
                    self.control(Epoch(epoch), &control, out);
                }
            }
            Work::Batch(seq, batch) => self.batch(seq, &batch, None, out),
            Work::InSteps => self.past.in_steps(Epoch(epoch)),
            Work::Backfill(began, seq, batch) => {
                let past = std::mem::take(&mut self.past);
                let plans = past.plans(began);
                if !plans.is_empty() {
                    self.batch(seq, &batch, Some(plans), out);
                }
                self.past = past;
            }
            Work::Through(began) => {
                let plans = self.past.through(began).into_iter();
                if self.first {
                    out.directives.extend(plans.map(Directive::Release));
                }
            }
        }
    }

    fn control(&mut self, epoch: Epoch, control: &Control, out: &mut Out) {
        let before = self.book.what_ifs().clone();
        let applied = self.book.apply(control);
        let told = !self.silences.is_empty();
        let mut promoted = past::promoted(&before, control);
        let now = (&before, &self.book);
        let held = self.past.follow(epoch, now, control, &applied.changes);
        self.begin_what_if(&before, control, out);
        for change in applied.changes {
            match change {
                PlanChange::Put { plan, .. } => {
                    let tried = promoted.remove(&plan.id);
                    if plan.kind == PlanKind::Silence {
                        self.silences.insert(plan.id);
                    }
                    if plan.chain.stage > 0 {
                        self.stages.insert(plan.id, plan.chain.stage);
                    }
                    self.put_row(epoch, &plan, out);
                    let plan = Arc::new(plan);
                    out.directives.push(match tried {
                        Some(from) => Directive::Adopt { plan, from },
                        None => Directive::Put(plan),
                    });
                }
                PlanChange::Remove(plan) => {
                    let rows = self.rows.remove(&plan);
                    let (placed, rows) = rows.unwrap_or((epoch, Vec::new()));
                    let gone = |(version, level)| (((plan, placed, version), level), -1);
                    out.rules.extend(rows.into_iter().map(gone));
                    self.silences.remove(&plan);
                    self.stages.remove(&plan);
                    out.directives.push(Directive::Remove(plan));
                }
            }
        }
        self.end_what_ifs(&before, out);
        out.directives.extend(held.into_iter().map(Directive::Hold));
        let tell = !self.silences.is_empty();
        if tell != told {
            out.observations.push(Observation::Tell(tell));
        }
        match control {
            Control::Start {
                bounds, received, ..
            } => {
                self.bounds = *bounds;
                out.observations.push(Observation::Bounds(*bounds));
                out.observations.push(Observation::Now(*received));
                out.sources.push(SourceNote::Start(*received));
            }
            Control::Tick { received } => {
                out.observations.push(Observation::Now(*received));
                if self.source_bounds.is_on() {
                    out.sources.push(SourceNote::Now(*received));
                }
            }
            Control::SelfAlerts(bounds) => {
                self.source_bounds = *bounds;
                out.sources.push(SourceNote::Bounds(*bounds));
            }
            Control::Heartbeat {
                tenant,
                source,
                time,
            } => {
                let source = weir_schema::journal::source_key(tenant, source);
                let tenant = TenantKey::of(&[tenant.as_bytes()]);
                out.sources.push(SourceNote::Heartbeat { tenant, source });
                out.observations.push(Observation::Heartbeat {
                    tenant,
                    source,
                    time: *time,
                });
            }
            Control::Finish => out.observations.push(Observation::Finish),
            // What they change is in the book; where sinks stand bears on no result.
            Control::Delivered(_)
            | Control::WhatIfPut { .. }
            | Control::WhatIfPromote { .. }
            | Control::WhatIfDrop { .. }
            | Control::RulePut { .. }
            | Control::RuleDisable { .. }
            | Control::RuleRemove { .. }
            | Control::Settings { .. } => {}
        }
        let diagnostics = applied.diagnostics.iter();
        out.notes
            .extend(diagnostics.map(|diagnostic| Note::Diagnostic(diagnostic.to_string())));
    }

    /// Puts the plans of a what-if beside the others.
    fn begin_what_if(&mut self, before: &WhatIfs, control: &Control, out: &mut Out) {
        let Control::WhatIfPut { id, .. } = control else {
            return;
        };
        let what_if = self.book.what_ifs().get(id).cloned();
        let Some(what_if) = what_if.filter(|_| !before.contains_key(id)) else {
            return; // Refused.
        };
        for shadow in &what_if.shadows {
            if shadow.plan.kind == PlanKind::Silence {
                self.silences.insert(shadow.plan.id);
            }
            out.directives.push(Directive::Shadow {
                plan: Arc::new(shadow.plan.clone()),
                basis: shadow.basis,
            });
        }
    }

    /// Takes the plans of what-ifs away that are no more.
    fn end_what_ifs(&mut self, before: &WhatIfs, out: &mut Out) {
        for (id, what_if) in before {
            if self.book.what_ifs().contains_key(id) {
                continue;
            }
            for shadow in &what_if.shadows {
                self.silences.remove(&shadow.plan.id);
                // One that became another plan is not there any more.
                out.directives.push(Directive::Remove(shadow.plan.id));
            }
        }
    }

    fn put_row(&mut self, epoch: Epoch, plan: &Plan, out: &mut Out) {
        let rows = self.rows.entry(plan.id);
        let (placed, rows) = rows.or_insert_with(|| (epoch, Vec::new()));
        if !rows.iter().any(|(known, _)| *known == plan.version) {
            rows.push((plan.version, plan.level));
            let row = (plan.id, *placed, plan.version);
            out.rules.push(((row, plan.level), 1));
        }
    }

    fn batch(&mut self, seq: BatchSeq, batch: &Batch, only: Option<&[PlanId]>, out: &mut Out) {
        let reading = Reading::of(batch, &self.bounds, self.emit.time_field.as_deref());
        let (tenant, source) = (batch.tenant_key(), batch.source_key());
        let mut note = BatchNote {
            batch: seq,
            greatest: EventTime::MIN,
            events: 0,
            matches: 0,
            facts: 0,
            ungrouped: 0,
            valueless: 0,
            problems: [0; Problem::ALL.len()],
            troubled: 0,
            source,
        };
        let mut heard = Listening::to(batch, &self.source_bounds);
        for (place, frame) in batch.frames.iter().enumerate() {
            let position = Position::new(seq, u16::try_from(place).unwrap_or(u16::MAX));
            let event = weir_parse::decode(frame, &reading.context());
            let future = event.problems.contains(&Problem::TimeInFuture);
            note.events += 1;
            heard.event(place, event.time, future);
            if !future {
                note.greatest = note.greatest.max(event.time);
            }
            let (book, detected) = (&self.book, &mut self.detected);
            self.detector.detect(book, &event, tenant, only, detected);
            if only.is_none() {
                self.report(position, &event, &mut note, out);
            }
            note.ungrouped += u64::from(self.detected.ungrouped);
            note.valueless += u64::from(self.detected.valueless);
            if future || self.detected.facts.is_empty() {
                continue;
            }
            let id = EventId::of_frame(source, event.time, frame);
            note.facts += self.detected.facts.len() as u64;
            for draft in &self.detected.facts {
                let fact = Fact {
                    plan: draft.plan,
                    tenant,
                    group: draft.group,
                    time: event.time,
                    event: id,
                    position,
                    member: draft.member,
                    value: match self.silences.contains(&draft.plan) {
                        true => FactValue::from(source),
                        false => draft.value,
                    },
                };
                match self.stages.get(&draft.plan) {
                    Some(stage) => out.above.push((*stage, fact)),
                    None => out.facts.push(fact),
                }
            }
            out.links.extend(self.detected.links.drain(..));
        }
        if only.is_none() {
            if note.greatest > EventTime::MIN {
                out.observations.push(Observation::Heard {
                    tenant,
                    source,
                    time: note.greatest,
                    received: batch.received,
                });
            } else {
                out.observations.push(Observation::Now(batch.received));
            }
            let heard = heard.end(seq, (tenant, source));
            out.sources
                .extend(heard.filter(|_| self.source_bounds.is_on()));
            out.notes.push(Note::Batch(note));
        }
    }

    fn report(&self, position: Position, event: &Event<'_>, note: &mut BatchNote, out: &mut Out) {
        note.matches += self.detected.matches.len() as u64;
        note.troubled += u64::from(!event.problems.is_empty());
        for problem in &event.problems {
            if let Some(place) = Problem::ALL.iter().position(|known| known == problem) {
                note.problems[place] += 1;
            }
            if self.emit.problems {
                out.notes.push(Note::Problem(position, *problem));
            }
        }
        if self.emit.matches {
            let matches = self.detected.matches.iter();
            out.notes
                .extend(matches.map(|rule| Note::Match(position, rule.clone())));
        }
        if self.emit.events {
            out.notes
                .push(Note::Event(position, weir_parse::event_json(event)));
        }
    }
}

/// What the events of a batch tell of their source: one that stands for the newest, and which are
/// ahead of their receipt.
struct Listening<'b> {
    batch: &'b Batch,
    skew: Option<Span>,
    first: Option<(EventTime, usize)>,
    newest: Option<(EventTime, usize)>,
    skewed: u64,
    first_skewed: Option<(EventTime, usize)>,
}

impl<'b> Listening<'b> {
    fn to(batch: &'b Batch, bounds: &SourceBounds) -> Self {
        Self {
            batch,
            skew: Some(bounds.clock_skew).filter(|skew| skew.0 > 0),
            first: None,
            newest: None,
            skewed: 0,
            first_skewed: None,
        }
    }

    fn event(&mut self, place: usize, time: EventTime, future: bool) {
        self.first = self.first.or(Some((time, place)));
        let newer = self.newest.is_none_or(|(newest, _)| time > newest);
        if newer && !future {
            self.newest = Some((time, place));
        }
        if let Some(skew) = self.skew
            && time.0 > self.batch.received.plus(skew).0
        {
            self.skewed += 1;
            self.first_skewed = self.first_skewed.or(Some((time, place)));
        }
    }

    fn end(&self, seq: BatchSeq, (tenant, source): (TenantKey, SourceKey)) -> Option<SourceNote> {
        let item = |(time, place): (EventTime, usize)| {
            let frame = self.batch.frames.get(place)?;
            Some(EvidenceItem {
                time,
                event: EventId::of_frame(source, time, frame),
                position: Position::new(seq, u16::try_from(place).unwrap_or(u16::MAX)),
            })
        };
        let newest = self.newest.or(self.first).and_then(item)?;
        Some(SourceNote::Heard(SourceHeard {
            tenant,
            source,
            received: self.batch.received,
            events: self.batch.frames.len() as u64,
            newest,
            credible: self.newest.is_some(),
            skewed: self.skewed,
            first_skewed: self.first_skewed.and_then(item),
        }))
    }
}

/// How the frames of a batch are to be read, worked out once a batch.
pub struct Reading<'b> {
    batch: &'b Batch,
    zone: Zone,
    logsource: Option<LogSource>,
    time_field: Option<&'b str>,
    future_tolerance: Span,
}

impl<'b> Reading<'b> {
    /// A zone or log source that cannot be read stands for none: configuration has checked them.
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
