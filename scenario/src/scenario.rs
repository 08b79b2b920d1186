//! A scenario: what is sent when, and which alerts must come of it.

use weir_schema::{EventTime, Span};

/// How a delivery reaches Weir.
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

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A line of syslog, without the framing of its transport.
    Line(Vec<u8>),
    Agent(AgentRecord),
}

/// That an event is one of those a detection looks for, with the fields by which rules group it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedDetection {
    /// Name of the detection.
    pub member: &'static str,
    pub fields: Vec<(&'static str, String)>,
}

/// One event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When it is sent, from the start of the scenario, at the pace of event time.
    pub at: Span,
    pub via: DeliveryTransport,
    /// The host that it speaks of; for an agent, the agent's id too.
    pub host: String,
    pub payload: Payload,
    pub time: EventTime,
    /// Every detection of `rules/` that it was written to match, and no other.
    pub marks: Vec<ExpectedDetection>,
    /// Sent long after its event time.
    pub late: bool,
}

/// An alert that the plan says must be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedAlert {
    pub rule: String,
    pub title: String,
    /// Fields of the group and their values, in the order in which the rule names them.
    pub group: Vec<(String, String)>,
    /// As it stands at the end, or as it stood when it was withdrawn.
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
    /// A late delivery withdraws it: it is raised, and does not stand at the end.
    pub retracted: bool,
}

/// Everything that is sent, in order, with the answer.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub start: EventTime,
    /// In order of `at`.
    pub deliveries: Vec<Delivery>,
    /// All alerts, sorted; no other may be raised.
    pub expected: Vec<ExpectedAlert>,
    /// What happens in plain words, in order of time.
    pub narration: Vec<(Span, String)>,
    /// Length of the scenario at the pace of event time.
    pub length: Span,
}

impl Scenario {
    /// How many deliveries go by a way.
    #[must_use]
    pub fn sent(&self, via: DeliveryTransport) -> usize {
        self.deliveries.iter().filter(|d| d.via == via).count()
    }
}
