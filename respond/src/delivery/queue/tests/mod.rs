//! Drives a delivery queue through failing consumers and restarts.
//!
//! The consumers crash, answer late, twice, with errors or never.

use weir_schema::outbox::{AlertHistory, OutboxFilter};
use weir_schema::{
    AlertRecord, AlertState, Cause, Change, ChangeKind, Epoch, EventTime, Evidence, Level,
    RuleVersion, Span,
};

use super::*;

mod cases;

mod outages;

mod poison;

mod random;

const RETRY: RetryPolicy = RetryPolicy {
    retry_min: Span::seconds(1),
    retry_max: Span::seconds(60),
    tries_max: 3,
    age_max: Span::seconds(3_600),
};

struct History(Vec<Change>);

impl AlertHistory for History {
    type Error = std::convert::Infallible;

    fn previous_revision(
        &self,
        alert: AlertId,
        revision: u64,
    ) -> Result<Option<Change>, Self::Error> {
        let mut newest = self.0.iter().rev().map(|change| (&change.record, change));
        let found = newest.find(|(record, _)| record.alert == alert && record.revision < revision);
        Ok(found.map(|(_, change)| change.clone()))
    }
}

/// Which alert, what happens to it, whether it is provisional.
type Move = (u64, u8, bool);

/// A history that the ledger could hold.
fn history(moves: &[Move]) -> Vec<Change> {
    let mut standing = BTreeSet::new();
    let mut revisions: BTreeMap<AlertId, u64> = BTreeMap::new();
    let mut changes = Vec::new();
    for (epoch, (alert, action, provisional)) in (1..).zip(moves) {
        let alert = AlertId([0, *alert]);
        let stood = standing.contains(&alert);
        let mut supersedes = Vec::new();
        let kind = match action {
            _ if !stood => ChangeKind::Raised,
            0 => ChangeKind::Retracted,
            1 => {
                let other = standing.iter().copied().find(|other| *other != alert);
                supersedes.extend(other);
                ChangeKind::Revised
            }
            _ => ChangeKind::Revised,
        };
        standing.retain(|other| !supersedes.contains(other));
        match kind {
            ChangeKind::Retracted => standing.remove(&alert),
            _ => standing.insert(alert),
        };
        let revision = revisions.entry(alert).or_default();
        *revision += 1;
        let (epoch, ordinal) = (Epoch(epoch), 0);
        let record = record(alert, *revision, *provisional);
        changes.push(Change {
            kind,
            epoch,
            ordinal,
            supersedes,
            record,
        });
    }
    changes
}

fn record(alert: AlertId, revision: u64, provisional: bool) -> AlertRecord {
    AlertRecord {
        alert,
        key: alert,
        revision,
        standing: true,
        raised: Epoch(1),
        rule: "r".into(),
        version: RuleVersion(1),
        title: String::new(),
        level: Level::Low,
        tenant: String::new(),
        group: Vec::new(),
        state: match provisional {
            true => AlertState::Provisional,
            false => AlertState::Confirmed,
        },
        first: EventTime(0),
        last: EventTime(0),
        count: 1,
        limited: false,
        supersedes: Vec::new(),
        evidence: Evidence::default(),
        cause: Cause::RuleRemoved,
        marked: None,
    }
}

/// A consumer that recognizes a repeated message by its id.
#[derive(Default)]
struct Consumer {
    newest: BTreeMap<AlertId, u64>,
    standing: BTreeSet<AlertId>,
}

impl Consumer {
    fn receive(&mut self, kind: ChangeKind, change: &Change) {
        let (alert, revision) = (change.record.alert, change.record.revision);
        let newest = self.newest.entry(alert).or_default();
        if revision <= *newest {
            return; // A repeat.
        }
        *newest = revision;
        self.standing
            .retain(|other| !change.supersedes.contains(other));
        match kind {
            ChangeKind::Retracted => self.standing.remove(&alert),
            _ => self.standing.insert(alert),
        };
    }
}

/// A server with its journal, and the consumer.
struct Simulation {
    ledger: History,
    filter: OutboxFilter,
    queue: DeliveryQueue,
    /// The position of the sink, as the journal has it.
    position: SinkPosition,
    now: ReceiveTime,
    in_flight: Vec<(AlertId, DeliveryRow)>,
    consumer: Consumer,
    sent: usize,
}

impl Simulation {
    fn kind(&self, change: &Change) -> Option<ChangeKind> {
        let Ok(kind) = self.filter.emitted_kind(&self.ledger, change);
        kind
    }

    fn row(change: &Change, kind: ChangeKind) -> DeliveryRow {
        DeliveryRow {
            at: Cursor::of(change),
            revision: change.record.revision,
            kind,
            supersedes: change.supersedes.clone(),
        }
    }

    fn rows(&self, alert: AlertId, from: Cursor, read: Cursor) -> Vec<DeliveryRow> {
        let changes = self.ledger.0.iter();
        let changes = changes.filter(|change| change.record.alert == alert);
        let wanted = changes.filter(|change| (from..=read).contains(&Cursor::of(change)));
        let rows = wanted.filter_map(|change| Some(Self::row(change, self.kind(change)?)));
        rows.collect()
    }

    fn read(&mut self) -> bool {
        let next = self
            .ledger
            .0
            .iter()
            .find(|change| Cursor::of(change) > self.queue.read());
        let Some(change) = next.filter(|_| self.queue.has_room()).cloned() else {
            return false;
        };
        let kind = self.kind(&change);
        let wanted = kind.map(|_| change.record.alert);
        let row = Self::row(&change, kind.unwrap_or(change.kind));
        self.queue.push(row, wanted, self.now);
        true
    }

    fn begin(&mut self) -> bool {
        let mut next = self.queue.next(self.now);
        if self.queue.needs_checkpoint() {
            self.journal();
            next = self.queue.next(self.now);
        }
        let is_any = next.is_some();
        self.in_flight.extend(next);
        is_any
    }

    /// Ends a delivery in flight. `received`: the consumer has it; `answered`: the sink knows.
    fn end(&mut self, which: usize, received: bool, answered: bool, gone: bool, jitter: f64) {
        let (alert, row) = self.in_flight.remove(which);
        let change = self
            .ledger
            .0
            .iter()
            .find(|change| Cursor::of(change) == row.at);
        let change = change.expect("it was read");
        if received {
            assert_eq!(self.kind(change), Some(row.kind));
            self.consumer.receive(row.kind, change);
            self.sent += 1;
        }
        if received && answered {
            return self.queue.complete(alert, self.now);
        }
        let failure = DeliveryFailure {
            reason: "no answer".to_owned(),
            pause: (jitter > 0.9).then_some(Span::seconds(30)),
            gone,
            is_permanent: false,
        };
        self.queue.fail(alert, self.now, &failure, jitter);
    }

    fn journal(&mut self) {
        if let Some(entry) = self.queue.checkpoint("s") {
            self.position.apply(&entry);
            self.queue.confirm_checkpoint(&entry);
            assert_eq!(self.queue.checkpoint("s"), None);
        }
    }

    fn restart(&mut self) {
        // The answers of deliveries in flight are lost.
        self.in_flight.clear();
        let read = self.position.read().unwrap_or(Cursor::START);
        let rows = |alert, from| Ok::<_, ()>(self.rows(alert, from, read));
        self.queue =
            DeliveryQueue::restore(&self.position, read, RETRY, rows).expect("it cannot fail");
    }

    fn requeue_dead_letters(&mut self) {
        let dead: Vec<_> = self
            .queue
            .dead_letters()
            .iter()
            .map(|(a, d)| (*a, d.from))
            .collect();
        for (alert, from) in dead {
            let rows = self.rows(alert, from, self.queue.read());
            let listed = self.queue.dead_letters()[&alert].rows;
            assert!(listed >= rows.len() as u64, "{listed} of {}", rows.len());
            assert!(self.queue.requeue(alert, rows, self.now));
        }
        if self.queue.stop_reason().is_some() {
            self.queue.resume(self.now);
        }
    }

    /// Delivers everything: the consumer works again, and people resend the dead letters.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.requeue_dead_letters();
            while self.read() {}
            if !self.begin() && self.in_flight.is_empty() {
                let Some(due) = self.queue.due(self.now) else {
                    break;
                };
                self.now = due;
            }
            while !self.in_flight.is_empty() {
                self.end(0, true, true, false, 0.0);
            }
        }
    }
}

fn simulation(moves: &[Move]) -> Simulation {
    Simulation {
        ledger: History(history(moves)),
        filter: OutboxFilter::default(),
        queue: DeliveryQueue::new(Cursor::START, RETRY),
        position: SinkPosition::default(),
        now: ReceiveTime(0),
        in_flight: Vec::new(),
        consumer: Consumer::default(),
        sent: 0,
    }
}
