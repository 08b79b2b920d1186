//! A scenario: planned deliveries, and the alerts that Weir must raise for them.

use weir_schema::{EventTime, Span};

/// Transport of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryTransport {
    Udp,
    Tcp,
    Agent,
}

/// An event of the agent protocol, before it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    pub time: EventTime,
    pub kind: String,
    /// `category=C,product=P,service=S`.
    pub logsource: String,
    pub fields: Vec<(String, String)>,
}

/// Content of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryPayload {
    /// A line of syslog, without the framing of its transport.
    Line(Vec<u8>),
    Agent(AgentRecord),
}

/// A detection that an event must match, with the fields by which rules group it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedDetection {
    /// Name of the Sigma rule.
    pub member: &'static str,
    pub fields: Vec<(&'static str, String)>,
}

/// One event that a scenario sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDelivery {
    /// Send time, relative to the start of the scenario, at the speed of event time.
    pub at: Span,
    pub transport: DeliveryTransport,
    /// The host that the event is about; for an agent event also the id of the agent.
    pub host: String,
    pub payload: DeliveryPayload,
    pub time: EventTime,
    /// All detections of `rules/` that match the event.
    pub detections: Vec<ExpectedDetection>,
    /// Whether it is sent long after its event time.
    pub late: bool,
}

/// An alert that a scenario must raise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedAlert {
    pub rule: String,
    pub title: String,
    /// Fields of the group and their values, in the order of the rule.
    pub group: Vec<(String, String)>,
    /// Times and count at the end, or at the retraction.
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
    /// A late delivery retracts the alert: it is raised, and does not stand at the end.
    pub retracted: bool,
}

/// All deliveries of a scenario, with the expected alerts.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub start: EventTime,
    /// Sorted by `at`.
    pub deliveries: Vec<PlannedDelivery>,
    /// All alerts, sorted. No other alert may be raised.
    pub expected: Vec<ExpectedAlert>,
    /// Descriptions of the events for people, sorted by time.
    pub narration: Vec<(Span, String)>,
    /// Length of the scenario at the speed of event time.
    pub length: Span,
}

impl Scenario {
    /// Number of deliveries over a transport.
    #[must_use]
    pub fn deliveries_over(&self, transport: DeliveryTransport) -> usize {
        self.deliveries
            .iter()
            .filter(|d| d.transport == transport)
            .count()
    }
}
