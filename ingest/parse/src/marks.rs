//! Finds, in one pass over an event's fields, those that tell what kind of object it is, when it
//! was, and what it says.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;

/// A field that bears on more than itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Time,
    Timestamp,
    AtTimestamp,
    TimeCreated,
    Ts,
    EventTimeAws,
    EventTime,
    CreationTime,
    Published,
    StageTime,
    MessageSmall,
    Message,
    Msg,
    Log,
    JournalMessage,
    JournalTime,
    SyslogMessage,
    LogSource,
    Host,
    Computer,
    EventId,
    Channel,
    ProviderUnderscore,
    Provider,
    SourceName,
    RecordNumber,
    ShellId,
    ShellLog,
    BeatId,
    BeatLog,
    XmlId,
    AwsVersion,
    AwsSource,
    AwsName,
    ApiVersion,
    GcpType,
    OktaType,
    OktaUuid,
    OktaActor,
    DocumentId,
    Action,
    Operation,
    OperationName,
    Category,
    ResourceId,
    RecordType,
    Workload,
    /// An application says which part of it speaks, and how loudly.
    Logger,
}

/// One more than the last of them.
const COUNT: usize = Mark::Logger as usize + 1;

use Mark as M;

/// The names, by their length.
const NAMES: [(&str, Mark); 70] = [
    ("ts", M::Ts),
    ("Id", M::ShellId),
    ("msg", M::Msg),
    ("log", M::Log),
    ("lvl", M::Logger),
    ("time", M::Time),
    ("host", M::Host),
    ("uuid", M::OktaUuid),
    ("level", M::Logger),
    ("action", M::Action),
    ("logger", M::Logger),
    ("caller", M::Logger),
    ("thread", M::Logger),
    ("EventID", M::EventId),
    ("Channel", M::Channel),
    ("message", M::MessageSmall),
    ("Message", M::Message),
    ("MESSAGE", M::JournalMessage),
    ("LogName", M::ShellLog),
    ("Computer", M::Computer),
    ("event_id", M::BeatId),
    ("log_name", M::BeatLog),
    ("actor.id", M::OktaActor),
    ("category", M::Category),
    ("Workload", M::Workload),
    ("loglevel", M::Logger),
    ("LogLevel", M::Logger),
    ("timestamp", M::Timestamp),
    ("logsource", M::LogSource),
    ("EventTime", M::EventTime),
    ("eventTime", M::EventTimeAws),
    ("eventName", M::AwsName),
    ("eventType", M::OktaType),
    ("published", M::Published),
    ("Operation", M::Operation),
    ("levelname", M::Logger),
    ("log_level", M::Logger),
    ("log.level", M::Logger),
    ("@timestamp", M::AtTimestamp),
    ("SourceName", M::SourceName),
    ("apiVersion", M::ApiVersion),
    ("RecordType", M::RecordType),
    ("resourceId", M::ResourceId),
    ("loggerName", M::Logger),
    ("log.logger", M::Logger),
    ("threadName", M::Logger),
    ("TimeCreated", M::TimeCreated),
    ("eventSource", M::AwsSource),
    ("logger_name", M::Logger),
    ("thread_name", M::Logger),
    ("ProviderName", M::Provider),
    ("RecordNumber", M::RecordNumber),
    ("eventVersion", M::AwsVersion),
    ("_document_id", M::DocumentId),
    ("CreationTime", M::CreationTime),
    ("SyslogMessage", M::SyslogMessage),
    ("Provider_Name", M::ProviderUnderscore),
    ("operationName", M::OperationName),
    ("winlog.channel", M::BeatLog),
    ("stageTimestamp", M::StageTime),
    ("System.EventID", M::XmlId),
    ("winlog.event_id", M::BeatId),
    ("logsource.product", M::LogSource),
    ("logsource.service", M::LogSource),
    ("logsource.category", M::LogSource),
    ("protoPayload.@type", M::GcpType),
    ("Event.System.EventID", M::XmlId),
    ("__REALTIME_TIMESTAMP", M::JournalTime),
    ("System.EventID.Value", M::XmlId),
    ("Event.System.EventID.#text", M::XmlId),
];

const LENGTH_MAX: usize = 26;

/// Where the names of each length begin among [`NAMES`]: most fields are told from all of them by
/// their length alone.
const STARTS: [usize; LENGTH_MAX + 2] = starts();

const fn starts() -> [usize; LENGTH_MAX + 2] {
    let mut starts = [0; LENGTH_MAX + 2];
    let (mut length, mut at) = (0, 0);
    while length < starts.len() {
        while at < NAMES.len() && NAMES[at].0.len() < length {
            at += 1;
        }
        starts[length] = at;
        length += 1;
    }
    assert!(
        at == NAMES.len(),
        "the names stand in the order of their length"
    );
    starts
}

fn mark(name: &str) -> Option<Mark> {
    let (from, to) = (STARTS.get(name.len())?, STARTS.get(name.len() + 1)?);
    let mut of_length = NAMES.get(*from..*to)?.iter();
    // The first byte first: it saves most calls that compare the whole.
    let first = name.as_bytes().first();
    let found = of_length.find(|(known, _)| known.as_bytes().first() == first && *known == name);
    found.map(|(_, mark)| *mark)
}

/// Where the marked fields stand; good until a field is renamed, moved or taken away.
pub(crate) struct Marks([u16; COUNT]);

impl Marks {
    /// No field stands here: there are at most a thousand.
    const NONE: u16 = u16::MAX;

    pub fn of(fields: &[(Cow<'_, str>, Value<'_>)]) -> Self {
        let mut marks = [Self::NONE; COUNT];
        for (at, (name, _)) in fields.iter().enumerate() {
            if let Some(mark) = mark(name)
                && let Some(slot) = marks.get_mut(mark as usize)
            {
                *slot = u16::try_from(at).unwrap_or(Self::NONE);
            }
        }
        Self(marks)
    }

    pub fn has(&self, mark: Mark) -> bool {
        self.at(mark).is_some()
    }

    pub fn at(&self, mark: Mark) -> Option<usize> {
        let at = self.0.get(mark as usize)?;
        (*at != Self::NONE).then_some(usize::from(*at))
    }

    pub fn value<'d, 'a>(&self, draft: &'d Draft<'a>, mark: Mark) -> Option<&'d Value<'a>> {
        let (_, value) = draft.fields.get(self.at(mark)?)?;
        Some(value)
    }

    /// The field's text, if it is text.
    pub fn text<'d>(&self, draft: &'d Draft<'_>, mark: Mark) -> Option<&'d str> {
        match self.value(draft, mark)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
