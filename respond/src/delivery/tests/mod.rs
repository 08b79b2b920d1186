//! Runs whole sinks against a ledger, a journal and consumers in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio::sync::watch;
use weir_schema::outbox::{Cursor, OutboxFilter, OutboxRows};
use weir_schema::{
    AlertId, AlertRecord, Change, ChangeKind, Epoch, ReceiveTime, RuleVersion, SinkProgress, Span,
};

use crate::delivery::consumer::Consumer;
use crate::delivery::consumer::scripted::ScriptedConsumer;
use crate::delivery::position::SinkPosition;
use crate::delivery::responders::Responders;

use crate::metrics::RespondMetrics;
use crate::options::{ConnectionOptions, SinkOptions, SinkStart, SinkTarget};
use crate::ports::{Clock, Outbox, ProgressJournal, RuleTagSource, SinkPortError, SinkPorts};
use crate::retry::RetryPolicy;
use crate::test_alerts::{change, record};
use crate::transport::guard::AddressScope;

mod bursts;

mod stops;

mod waits;

/// A test fails if nothing happens for this long.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Runs before each read of the ledger.
type BeforeRead = fn(AlertId);

/// A ledger in memory: its alerts are 1, 2, 3 …, each with one revision.
struct MemoryLedger {
    alerts: AtomicU64,
    before_read: BeforeRead,
}

impl MemoryLedger {
    fn read(&self, alert: AlertId) -> Option<Change> {
        (self.before_read)(alert);
        let number = alert.0[1];
        let is_known = (1..=self.alerts.load(Ordering::SeqCst)).contains(&number);
        is_known.then(|| Change {
            epoch: Epoch(number),
            ..change(ChangeKind::Raised, record(number, 1))
        })
    }
}

impl Outbox for MemoryLedger {
    fn after(&self, after: Cursor, limit: usize) -> Result<OutboxRows, SinkPortError> {
        let numbers = after.epoch.0 + 1..=self.alerts.load(Ordering::SeqCst);
        let changes = numbers.take(limit).map(|number| AlertId([0, number]));
        Ok(OutboxRows {
            changes: changes.filter_map(|alert| self.read(alert)).collect(),
            has_gap: false,
        })
    }

    fn change(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, SinkPortError> {
        Ok(self.read(alert).filter(|_| revision == 1))
    }

    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, SinkPortError> {
        Ok(self.read(alert).filter(|_| revision > 1))
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, SinkPortError> {
        Ok(self.read(alert).map(|change| change.record))
    }

    fn records(&self, _: Option<AlertId>, _: usize) -> Result<Vec<AlertRecord>, SinkPortError> {
        Ok(Vec::new())
    }
}

/// A journal in memory.
#[derive(Default)]
struct MemoryJournal {
    entries: Mutex<Vec<SinkProgress>>,
    /// No append is ever durable.
    is_stuck: bool,
}

impl ProgressJournal for MemoryJournal {
    fn append(&self, entry: SinkProgress) -> BoxFuture<'_, Result<(), SinkPortError>> {
        async move {
            tokio::task::yield_now().await;
            if self.is_stuck {
                std::future::pending::<()>().await;
            }
            self.entries.lock().expect("no panic").push(entry);
            Ok(())
        }
        .boxed()
    }
}

/// A clock that advances by a hundredth of a second with each look at it.
#[derive(Default)]
struct StepClock(AtomicU64);

impl Clock for StepClock {
    fn now(&self) -> ReceiveTime {
        let steps = self.0.fetch_add(1, Ordering::SeqCst);
        ReceiveTime(i64::try_from(steps).unwrap_or(i64::MAX) * (Span::SECOND.0 / 100))
    }
}

struct NoTags;

impl RuleTagSource for NoTags {
    fn tags(&self, _: &str, _: RuleVersion) -> Vec<String> {
        Vec::new()
    }
}

fn options(name: &str) -> SinkOptions {
    SinkOptions {
        name: name.to_owned(),
        target: SinkTarget::Cef { url: String::new() },
        connection: ConnectionOptions {
            address_scope: AddressScope::Public,
            timeout: Duration::from_secs(15),
            ca_file: None,
            client_certificate: None,
            token: None,
        },
        filter: OutboxFilter::default(),
        create_only: false,
        start: SinkStart::Start,
        retry: RetryPolicy {
            retry_min: Span::SECOND,
            retry_max: Span::seconds(300),
            tries_max: 100,
            age_max: Span::seconds(24 * 3_600),
        },
    }
}

/// A server with sinks.
struct TestServer {
    ledger: Arc<MemoryLedger>,
    journal: Arc<MemoryJournal>,
    news: watch::Sender<u64>,
    responders: Responders,
    metrics: RespondMetrics,
}

impl TestServer {
    fn start(
        sinks: &[&str],
        consumer: &ScriptedConsumer,
        before_read: BeforeRead,
        is_journal_stuck: bool,
    ) -> Self {
        let ledger = Arc::new(MemoryLedger {
            alerts: AtomicU64::new(0),
            before_read,
        });
        let journal = Arc::new(MemoryJournal {
            is_stuck: is_journal_stuck,
            ..MemoryJournal::default()
        });
        let news = watch::Sender::new(0);
        let ports = SinkPorts {
            outbox: Arc::clone(&ledger) as Arc<dyn Outbox>,
            progress: Arc::clone(&journal) as Arc<dyn ProgressJournal>,
            clock: Arc::new(StepClock::default()),
            tags: Arc::new(NoTags),
            json: |_, _| serde_json::Value::Null,
            previous_epoch: Epoch(0),
            new_rows: news.subscribe(),
        };
        let metrics = RespondMetrics::register(&Registry::new()).expect("metrics register");
        let consumers = sinks.iter().map(|name| {
            let consumer = Consumer::Scripted(consumer.clone());
            (options(name), consumer, SinkPosition::default())
        });
        let consumers = consumers.collect();
        let responders = Responders::launch(consumers, ports, metrics.clone(), |_| true);
        Self {
            ledger,
            journal,
            news,
            responders: responders.expect("the thread starts"),
            metrics,
        }
    }

    /// Adds alerts to the outbox at once.
    fn raise(&self, alerts: u64) {
        self.ledger.alerts.fetch_add(alerts, Ordering::SeqCst);
        self.news.send_modify(|count| *count += 1);
    }
}

/// A consumer that accepts each delivery at once, and reports it.
fn accepting() -> (ScriptedConsumer, Receiver<AlertId>) {
    let (sender, receiver): (SyncSender<AlertId>, _) = sync_channel(1 << 16);
    let consumer = ScriptedConsumer(Arc::new(move |alert| {
        let _ = sender.send(alert);
        std::future::ready(Ok(())).boxed()
    }));
    (consumer, receiver)
}
