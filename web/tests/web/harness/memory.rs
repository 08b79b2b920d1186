//! All ports of the server, in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use weir_schema::outbox::OutboxRows;
use weir_schema::*;
use weir_web::ports::*;

/// An implementation of all ports.
pub struct Memory {
    pub changes: Mutex<Vec<Change>>,
    /// Index of the first change that the outbox still has.
    pub first_stored: AtomicUsize,
    pub outbox_signal: watch::Sender<u64>,
    /// The batches of each request.
    pub submitted: Mutex<Vec<Vec<Batch>>>,
    /// The next answers of the intake; after them it accepts everything.
    pub intake_answers: Mutex<VecDeque<Result<IntakeReceipt, IntakeError>>>,
    pub queries: Mutex<Vec<AlertQuery>>,
    pub rules: Mutex<Vec<RuleInfo>>,
    pub live: Mutex<Result<(), String>>,
    pub ready: Mutex<Result<(), String>>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            changes: Mutex::default(),
            first_stored: AtomicUsize::default(),
            outbox_signal: watch::Sender::new(0),
            submitted: Mutex::default(),
            intake_answers: Mutex::default(),
            queries: Mutex::default(),
            rules: Mutex::default(),
            live: Mutex::new(Ok(())),
            ready: Mutex::new(Ok(())),
        })
    }

    /// Commits rows to the outbox.
    pub fn commit(&self, changes: impl IntoIterator<Item = Change>) {
        self.changes.lock().unwrap().extend(changes);
        self.outbox_signal.send_modify(|n| *n += 1);
    }
}

impl Alerts for Memory {
    fn list(&self, query: &AlertQuery) -> Result<AlertPage, PortError> {
        self.queries.lock().unwrap().push(query.clone());
        let changes = self.changes.lock().unwrap();
        let mut items: Vec<_> = changes.iter().map(|change| change.record.clone()).collect();
        items.truncate(query.limit);
        let next = items.last().map(|record| record.alert);
        Ok(AlertPage { items, next })
    }

    fn get(&self, id: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError> {
        let changes = self.changes.lock().unwrap();
        let history = changes.iter().filter(|change| change.record.alert == id);
        let history: Vec<_> = history.cloned().collect();
        let record = history.last().map(|last| last.record.clone());
        Ok(record.map(|record| (record, history)))
    }

    fn explain(&self, id: AlertId) -> Result<Option<AlertExplanation>, PortError> {
        let Some((record, _)) = self.get(id)? else {
            return Ok(None);
        };
        let event = |raw: &[u8]| ExplainedEvent {
            item: item(5),
            received: ReceiveTime(6),
            source: "http".into(),
            peer: None,
            raw: Some(raw.to_vec()),
            weight: weir_schema::Weight::ONE,
            clauses: vec![MatchedClause {
                rule: "r".into(),
                clause: "selection.user: root".into(),
                field: Some("user".into()),
                value: Some("root".into()),
            }],
        };
        Ok(Some(AlertExplanation {
            record,
            condition: "event_count >= 5 within 60s by host".into(),
            rule_text: None,
            events: vec![event(b"foobar"), event(b"\xff\0"), event(&[b'x'; 70_000])],
            cause: None,
        }))
    }

    fn previous(&self, id: AlertId, revision: u64) -> Result<Option<Change>, PortError> {
        let changes = self.changes.lock().unwrap();
        let mut newest = changes.iter().rev().map(|change| (&change.record, change));
        let found = newest.find(|(record, _)| record.alert == id && record.revision < revision);
        Ok(found.map(|(_, change)| change.clone()))
    }

    fn outbox(&self, after: Cursor, limit: usize) -> Result<OutboxRows, PortError> {
        let changes = self.changes.lock().unwrap();
        let first = changes.partition_point(|change| Cursor::of(change) <= after);
        let first_stored = self.first_stored.load(Ordering::SeqCst);
        let rows = changes[first.max(first_stored)..].iter().take(limit);
        Ok(OutboxRows {
            changes: rows.cloned().collect(),
            has_gap: first < first_stored,
        })
    }

    fn latest(&self) -> Result<Cursor, PortError> {
        let changes = self.changes.lock().unwrap();
        Ok(changes.last().map_or(Cursor::START, Cursor::of))
    }
}

impl OutboxSignal for Memory {
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.outbox_signal.subscribe()
    }
}

impl EventIntake for Memory {
    fn submit(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<IntakeReceipt, IntakeError>> {
        Box::pin(async {
            let answer = self.intake_answers.lock().unwrap().pop_front();
            self.submitted.lock().unwrap().push(batches);
            answer.unwrap_or(Ok(IntakeReceipt { repeated: false }))
        })
    }
}

impl Rules for Memory {
    fn diagnostics(&self) -> Result<Vec<RuleDiagnostic>, PortError> {
        Ok(Vec::new())
    }

    fn enable(&self, id: &str) -> Result<bool, RuleUpdateError> {
        Ok(self.disable(id)?)
    }

    fn list(&self) -> Result<Vec<RuleInfo>, PortError> {
        Ok(self.rules.lock().unwrap().clone())
    }

    fn add(&self, text: &str, origin: &str) -> Result<Vec<RuleInfo>, RuleUpdateError> {
        let Some(id) = text.strip_prefix("id: ") else {
            return Err(RuleUpdateError::Refused(vec![RuleDiagnostic {
                origin: "api".into(),
                line: Some(1),
                column: None,
                message: "no id".into(),
                hint: Some("add `id: NAME`".into()),
                refused: true,
            }]));
        };
        let rule = RuleInfo {
            id: id.trim().into(),
            version: RuleVersion(1),
            title: "t".into(),
            level: Level::High,
            origin: origin.into(),
            since: EventTime(0),
            until: None,
            incomplete: false,
            share: 0.0,
            suspension: None,
            limited_by: Vec::new(),
        };
        self.rules.lock().unwrap().push(rule.clone());
        Ok(vec![rule])
    }

    fn disable(&self, id: &str) -> Result<bool, PortError> {
        Ok(self
            .rules
            .lock()
            .unwrap()
            .iter()
            .any(|rule| &*rule.id == id))
    }

    fn remove(&self, id: &str) -> Result<Option<Vec<RuleId>>, PortError> {
        let mut rules = self.rules.lock().unwrap();
        let before = rules.len();
        rules.retain(|rule| &*rule.id != id);
        Ok((rules.len() < before).then(|| vec![RuleId::from("base")]))
    }
}

impl SourceReports for Memory {
    fn unread(&self) -> Result<UnreadSources, PortError> {
        let source = UnreadSourceInfo {
            tenant: "default".into(),
            source: "web1".into(),
            events: 1_000,
            unread: 340,
            is_alerting: true,
            samples: vec!["job \\u{1b}[2J done".into()],
        };
        Ok(UnreadSources {
            window: std::time::Duration::from_secs(3_600),
            sources: vec![source],
        })
    }
}

impl Sinks for Memory {
    fn list(&self) -> Result<Vec<SinkInfo>, PortError> {
        Ok(vec![SinkInfo {
            name: "soar".into(),
            state: "starting",
            ..SinkInfo::default()
        }])
    }

    fn dead(&self, sink: &str) -> Result<Option<Vec<DeadLetter>>, PortError> {
        let letter = DeadLetter {
            alert: AlertId([0, 7]),
            from: Cursor::START,
            last: Cursor::START,
            rows: 3,
            since: ReceiveTime(0),
            reason: "server: 500".into(),
        };
        Ok((sink == "soar").then(|| vec![letter]))
    }

    fn resend(&self, sink: &str, alert: Option<AlertId>) -> Result<Option<usize>, PortError> {
        let count = usize::from(alert.is_none_or(|alert| alert == AlertId([0, 7])));
        Ok((sink == "soar").then_some(count))
    }

    fn enable(&self, sink: &str) -> Result<bool, PortError> {
        Ok(sink == "soar")
    }
}

impl Taps for Memory {
    fn open(&self, query: TapQuery) -> Result<Box<dyn Tap>, PortError> {
        Ok(Box::new(CountingTap { query, rows: 0 }))
    }
}

/// A tap that returns numbered rows with its query.
struct CountingTap {
    query: TapQuery,
    rows: usize,
}

impl Tap for CountingTap {
    fn next(&mut self, _wait: Duration) -> Result<String, PortError> {
        self.rows += 1;
        let (query, row) = (&self.query, self.rows);
        Ok(format!("{row} {} {:?}\n", query.stage.name(), query.field))
    }

    fn is_done(&self) -> bool {
        self.rows >= self.query.limit
    }

    fn end(&mut self) -> String {
        "end\n".to_owned()
    }
}

impl Health for Memory {
    fn live(&self) -> Result<(), String> {
        self.live.lock().unwrap().clone()
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.lock().unwrap().clone()
    }
}

fn item(time: i64) -> EvidenceItem {
    EvidenceItem {
        time: EventTime(time),
        event: EventId([1, 2]),
        position: Position(3),
    }
}

/// The first change of an epoch, for the alert with a one-letter name.
pub fn change(
    epoch: u64,
    alert: char,
    kind: ChangeKind,
    revision: u64,
    state: AlertState,
) -> Change {
    Change {
        kind,
        epoch: Epoch(epoch),
        ordinal: 0,
        supersedes: Vec::new(),
        record: AlertRecord {
            alert: AlertId([0, u64::from(alert)]),
            key: AlertId([0, u64::from(alert)]),
            revision,
            standing: kind != ChangeKind::Retracted,
            raised: Epoch(1),
            rule: "ssh-guessing".into(),
            version: RuleVersion(0xab),
            title: "Passwords guessed".into(),
            level: Level::High,
            tenant: "default".into(),
            group: vec![GroupField {
                name: "host".into(),
                value: "web\n1".into(),
            }],
            state,
            first: EventTime(0),
            last: EventTime(1_500_000_000),
            count: 5,
            limited: false,
            supersedes: vec![AlertId([0, 9])],
            evidence: Evidence {
                head: vec![item(0)],
                tail: vec![],
            },
            cause: Cause::LateEvent(item(1)),
            marked: None,
        },
    }
}
