//! The interface of a system that stories run on: deliveries and control entries in, commits out.

use weir_schema::{
    Batch, Commit, Control, EventId, EventTime, Format, Problem, ReceiveTime, Transport,
};

use crate::story::EventPayload;

/// The tenant of sources that a story writes without one.
pub const TENANT: &str = "default";

/// Splits a source as a story writes it, `name` or `tenant@name`, into tenant and name.
#[must_use]
pub fn split_source(source: &str) -> (&str, &str) {
    source.split_once('@').unwrap_or((TENANT, source))
}

/// A source as a story writes it; the inverse of [`split_source`].
#[must_use]
pub fn source_name(tenant: &str, source: &str) -> String {
    if tenant == TENANT {
        return source.to_owned();
    }
    format!("{tenant}@{source}")
}

/// One event, ready for the journal, with its label in the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDelivery {
    pub label: Option<String>,
    /// As the story writes it: see [`split_source`].
    pub source: String,
    pub time: EventTime,
    /// The end of the chapter; for a raw frame, the time of its step.
    pub received: ReceiveTime,
    pub payload: EventPayload,
    pub format: Format,
    /// `product=<source>`, without the tenant.
    pub logsource: String,
    pub frame: Vec<u8>,
}

impl EventDelivery {
    /// The id that the system gives to the event: that of its frame at the time of its step.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        let (tenant, source) = split_source(&self.source);
        let source = weir_schema::journal::source_key(tenant, source);
        EventId::for_frame(source, self.time, &self.frame)
    }
}

/// Groups a delivery into journal batches: runs of one source, format and receive time, in order.
#[must_use]
pub fn batches(events: &[EventDelivery]) -> Vec<Batch> {
    let alike = |a: &EventDelivery, b: &EventDelivery| {
        (&a.source, a.format, a.received) == (&b.source, b.format, b.received)
    };
    let runs = events.chunk_by(alike);
    let cut = runs.flat_map(|run| run.chunks(weir_schema::Position::FRAMES_MAX - 1));
    cut.filter_map(|run| {
        let first = run.first()?;
        let (tenant, source) = split_source(&first.source);
        Some(Batch {
            tenant: tenant.to_owned(),
            source: source.to_owned(),
            transport: match first.format {
                Format::Agent => Transport::Agent,
                Format::Syslog | Format::Json | Format::Auto => Transport::File,
            },
            format: first.format,
            peer: None,
            zone: None,
            logsource: Some(first.logsource.clone()),
            received: first.received,
            delivery: None,
            frames: run.iter().map(|event| &event.frame).collect(),
        })
    })
    .collect()
}

/// A problem that the system found in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameProblem {
    /// Name of the source.
    pub source: String,
    pub problem: Problem,
    /// The id of the frame's event.
    pub event: EventId,
}

/// All output since the last call of [`System::settle`].
#[derive(Clone, Debug, Default)]
pub struct SystemOutput {
    /// In order of epochs, each once. `records` are the current rows, even those without a change.
    pub commits: Vec<Commit>,
    pub problems: Vec<FrameProblem>,
    /// Why the system cannot continue; the run then fails.
    pub fault: Option<String>,
}

/// A system that runs stories: the whole server, a graph alone, or an oracle.
pub trait System {
    /// Appends one delivery, in this order, and seals at least one epoch after it.
    fn deliver(&mut self, events: &[EventDelivery]);

    /// Appends control entries, in this order, and seals them. The very first entry, and the first
    /// after each restart, is a `Start`.
    fn control(&mut self, controls: Vec<Control>);

    /// Waits until all input is processed, and returns the output since the last call.
    fn settle(&mut self) -> SystemOutput;

    /// Stops, forgets everything that is not in its store, and starts again. Called only when all
    /// input is settled.
    fn restart(&mut self);

    /// Waits until all control entries are read, and returns the diagnostics since the last call,
    /// each on one line.
    fn diagnostics(&mut self) -> Vec<String>;

    /// Answers a question with the rows that an analyst would see.
    fn query(&mut self, query: &str) -> Vec<String>;

    /// Explains why an effect is missing, if the system can.
    fn explain_absence(&mut self, _effect: &str) -> Option<String> {
        None
    }
}
