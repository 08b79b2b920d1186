//! `FieldIndex`: the positions of the fields that identify a JSON object, its time and its message,
//! found in one pass.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;

/// A field that identifies the kind of object, or holds its time, log source or message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownField {
    Time,
    Timestamp,
    AtTimestamp,
    TimeCreated,
    Ts,
    AwsEventTime,
    EventTime,
    CreationTime,
    Published,
    StageTime,
    MessageLower,
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
    FlatProvider,
    ProviderName,
    SourceName,
    RecordNumber,
    PowerShellId,
    PowerShellLog,
    BeatsEventId,
    BeatsChannel,
    XmlEventId,
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
    EventTimestamp,
    OperationValue,
    AuditId,
    Verb,
    RequestReceived,
    RequestUri,
    CreatedDateTime,
    PrincipalName,
    AppDisplayName,
    ActivityDateTime,
    ActivityDisplayName,
    RiskEventType,
    DetectedDateTime,
    EveType,
    FlowId,
    UserId,
    /// The component or the level of an application that logs for itself.
    Logger,
}

/// Number of variants of [`KnownField`].
const COUNT: usize = KnownField::Logger as usize + 1;

use KnownField as K;

/// Field names, sorted by length.
const NAMES: [(&str, KnownField); 86] = [
    ("ts", K::Ts),
    ("Id", K::PowerShellId),
    ("msg", K::Msg),
    ("log", K::Log),
    ("lvl", K::Logger),
    ("time", K::Time),
    ("host", K::Host),
    ("uuid", K::OktaUuid),
    ("verb", K::Verb),
    ("level", K::Logger),
    ("action", K::Action),
    ("logger", K::Logger),
    ("caller", K::Logger),
    ("thread", K::Logger),
    ("UserId", K::UserId),
    ("EventID", K::EventId),
    ("Channel", K::Channel),
    ("message", K::MessageLower),
    ("Message", K::Message),
    ("MESSAGE", K::JournalMessage),
    ("LogName", K::PowerShellLog),
    ("auditID", K::AuditId),
    ("flow_id", K::FlowId),
    ("Computer", K::Computer),
    ("event_id", K::BeatsEventId),
    ("log_name", K::BeatsChannel),
    ("actor.id", K::OktaActor),
    ("category", K::Category),
    ("Workload", K::Workload),
    ("loglevel", K::Logger),
    ("LogLevel", K::Logger),
    ("timestamp", K::Timestamp),
    ("logsource", K::LogSource),
    ("EventTime", K::EventTime),
    ("eventTime", K::AwsEventTime),
    ("eventName", K::AwsName),
    ("eventType", K::OktaType),
    ("published", K::Published),
    ("Operation", K::Operation),
    ("levelname", K::Logger),
    ("log_level", K::Logger),
    ("log.level", K::Logger),
    ("@timestamp", K::AtTimestamp),
    ("SourceName", K::SourceName),
    ("apiVersion", K::ApiVersion),
    ("RecordType", K::RecordType),
    ("resourceId", K::ResourceId),
    ("loggerName", K::Logger),
    ("log.logger", K::Logger),
    ("threadName", K::Logger),
    ("requestURI", K::RequestUri),
    ("event_type", K::EveType),
    ("TimeCreated", K::TimeCreated),
    ("eventSource", K::AwsSource),
    ("logger_name", K::Logger),
    ("thread_name", K::Logger),
    ("ProviderName", K::ProviderName),
    ("RecordNumber", K::RecordNumber),
    ("eventVersion", K::AwsVersion),
    ("_document_id", K::DocumentId),
    ("CreationTime", K::CreationTime),
    ("SyslogMessage", K::SyslogMessage),
    ("Provider_Name", K::FlatProvider),
    ("operationName", K::OperationName),
    ("riskEventType", K::RiskEventType),
    ("winlog.channel", K::BeatsChannel),
    ("stageTimestamp", K::StageTime),
    ("System.EventID", K::XmlEventId),
    ("eventTimestamp", K::EventTimestamp),
    ("appDisplayName", K::AppDisplayName),
    ("winlog.event_id", K::BeatsEventId),
    ("createdDateTime", K::CreatedDateTime),
    ("activityDateTime", K::ActivityDateTime),
    ("detectedDateTime", K::DetectedDateTime),
    ("logsource.product", K::LogSource),
    ("logsource.service", K::LogSource),
    ("userPrincipalName", K::PrincipalName),
    ("logsource.category", K::LogSource),
    ("protoPayload.@type", K::GcpType),
    ("operationName.value", K::OperationValue),
    ("activityDisplayName", K::ActivityDisplayName),
    ("Event.System.EventID", K::XmlEventId),
    ("__REALTIME_TIMESTAMP", K::JournalTime),
    ("System.EventID.Value", K::XmlEventId),
    ("requestReceivedTimestamp", K::RequestReceived),
    ("Event.System.EventID.#text", K::XmlEventId),
];

const LENGTH_MAX: usize = 26;

/// Position in [`NAMES`] of the first name of each length. The length alone rules out most fields.
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
    assert!(at == NAMES.len(), "the names must be sorted by length");
    starts
}

fn known_field(name: &str) -> Option<KnownField> {
    let (from, to) = (STARTS.get(name.len())?, STARTS.get(name.len() + 1)?);
    let mut candidates = NAMES.get(*from..*to)?.iter();
    // Comparing the first byte saves most comparisons of whole names.
    let first = name.as_bytes().first();
    let found = candidates.find(|(known, _)| known.as_bytes().first() == first && *known == name);
    found.map(|(_, field)| *field)
}

/// Returns whether a name, or the last part of its path, is that of a known field.
pub(crate) fn is_known(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    known_field(name).or_else(|| known_field(last)).is_some()
}

/// Positions of the known fields. Valid until a field is renamed, moved or removed.
pub(crate) struct FieldIndex([u16; COUNT]);

impl FieldIndex {
    /// No such field. Real positions are below [`FIELDS_MAX`](crate::FIELDS_MAX).
    const NONE: u16 = u16::MAX;

    pub fn of(fields: &[(Cow<'_, str>, Value<'_>)]) -> Self {
        let mut positions = [Self::NONE; COUNT];
        for (at, (name, _)) in fields.iter().enumerate() {
            if let Some(field) = known_field(name)
                && let Some(slot) = positions.get_mut(field as usize)
            {
                *slot = u16::try_from(at).unwrap_or(Self::NONE);
            }
        }
        Self(positions)
    }

    pub fn has(&self, field: KnownField) -> bool {
        self.at(field).is_some()
    }

    pub fn at(&self, field: KnownField) -> Option<usize> {
        let at = self.0.get(field as usize)?;
        (*at != Self::NONE).then_some(usize::from(*at))
    }

    pub fn value<'d, 'a>(&self, draft: &'d Draft<'a>, field: KnownField) -> Option<&'d Value<'a>> {
        let (_, value) = draft.fields.get(self.at(field)?)?;
        Some(value)
    }

    /// Returns the value of the field if it is text.
    pub fn text<'d>(&self, draft: &'d Draft<'_>, field: KnownField) -> Option<&'d str> {
        match self.value(draft, field)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
