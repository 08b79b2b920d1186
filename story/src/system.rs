//! The port between stories and what they are told to: deliveries and control in, commits out.

use weir_schema::{
    Batch, Commit, Control, EventId, EventTime, Format, Problem, ReceiveTime, Transport,
};

use crate::page::Payload;

/// The tenant of sources that are written without one.
pub const TENANT: &str = "default";

/// The tenant and the name of a source as the margin writes it: `name`, or `tenant@name`.
#[must_use]
pub fn tenant_of(source: &str) -> (&str, &str) {
    source.split_once('@').unwrap_or((TENANT, source))
}

/// A source as the margin writes it.
#[must_use]
pub fn full_name(tenant: &str, source: &str) -> String {
    if tenant == TENANT {
        return source.to_owned();
    }
    format!("{tenant}@{source}")
}

/// One event, ready to be journaled, with what the story says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub label: Option<String>,
    /// As the margin has it: see [`tenant_of`].
    pub source: String,
    pub time: EventTime,
    /// The line that closes the chapter; for a raw frame, the margin's own time.
    pub received: ReceiveTime,
    pub payload: Payload,
    pub format: Format,
    /// `product=<source>`, without the tenant.
    pub logsource: String,
    pub frame: Vec<u8>,
}

impl Delivery {
    /// The identity that the system gives to the event: that of its frame at its margin time.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        let (tenant, source) = tenant_of(&self.source);
        let source = weir_schema::journal::source_key(tenant, source);
        EventId::of_frame(source, self.time, &self.frame)
    }
}

/// One delivery as the journal takes it: runs of one source, format and receipt, in order.
#[must_use]
pub fn batches(events: &[Delivery]) -> Vec<Batch> {
    let alike = |a: &Delivery, b: &Delivery| {
        (&a.source, a.format, a.received) == (&b.source, b.format, b.received)
    };
    let runs = events.chunk_by(alike);
    let cut = runs.flat_map(|run| run.chunks(weir_schema::Position::FRAMES_MAX - 1));
    cut.filter_map(|run| {
        let first = run.first()?;
        let (tenant, source) = tenant_of(&first.source);
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

/// A problem that a frame was kept with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidProblem {
    /// Name of the source.
    pub source: String,
    pub problem: Problem,
    /// The identity under which the frame was kept.
    pub event: EventId,
}

/// All that was said since the last time it was asked.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// In order of epochs, each once. `records` are the current rows, also where no change is said.
    pub commits: Vec<Commit>,
    pub problems: Vec<SaidProblem>,
    /// What keeps the system from going on, where something does: the story cannot be told.
    pub fault: Option<String>,
}

/// What stories are told to: the whole system, a graph alone, or an oracle.
pub trait System {
    /// Takes one delivery, in this order, and seals at least one epoch over it.
    fn deliver(&mut self, events: &[Delivery]);

    /// Takes control entries, in this order, and seals them. The first ever, and the first after
    /// each restart, is a `Start`.
    fn control(&mut self, controls: Vec<Control>);

    /// Waits until all that was taken is worked through and gives what was said since the last
    /// call.
    fn settle(&mut self) -> Settled;

    /// Stops, forgets everything that is not in its store, and starts again. Everything taken
    /// before is settled.
    fn restart(&mut self);

    /// Waits until the control entries taken so far are read and gives what was found wrong with
    /// them since the last call, a line each, free of line breaks.
    fn diagnostics(&mut self) -> Vec<String>;

    /// What an analyst would see.
    fn ask(&mut self, query: &str) -> Vec<String>;

    /// Why an effect did not come, in words, where the system can say.
    fn why_not(&mut self, _effect: &str) -> Option<String> {
        None
    }
}
