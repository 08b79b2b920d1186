//! A graph over its own journal, fed epoch by epoch: shared by the tests of what-ifs and backfills.

// Each test binary compiles this module and uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::prelude::*;
use rand::rngs::StdRng;
use weir::server::adapters::{ReadEpochs, ReadFrames, WriteLedger};
use weir::verbs::test::graph::open_journal;
use weir_dataflow::{EmitOptions, EpochReport, Host, HostOptions, Observer, PortFault};
use weir_schema::{
    AlertId, AlertRecord, Batch, Change, Control, Entry, Epoch, EventTime, Format, ReceiveTime,
    Span, TimeBounds, Transport,
};
use weir_store::journal::JournalWriter;
use weir_store::ledger::Ledger;

/// 2026-03-02T00:00:00Z, in seconds.
pub const START: i64 = 1_772_409_600;

/// Two rules over events, and two correlations of them.
pub const RULES: [&str; 4] = [
    "title: Failed\nname: failed\nid: failed\nlogsource: {product: shop}\n\
     detection: {selection: {action: fail}, condition: selection}\n",
    "title: Bought\nname: bought\nid: bought\nlogsource: {product: shop}\n\
     detection: {selection: {action: buy}, condition: selection}\nweir: {group-by: [user]}\n",
    "title: Many fail\nname: many\nid: many\ncorrelation: {type: event_count, rules: [failed], \
     group-by: [user], timespan: 60s, condition: {gte: 4}}\n",
    "title: Fails and buys\nid: both\ncorrelation: {type: temporal, rules: [failed, bought], \
     group-by: [user], timespan: 30s, generate: true}\n",
];

/// Adds or changes a rule.
pub fn put(text: &str, since: EventTime) -> Control {
    Control::RulePut {
        text: text.to_owned(),
        origin: "test".to_owned(),
        since,
    }
}

/// Records every committed change.
#[derive(Clone, Default)]
pub struct ChangeRecorder(pub Arc<Mutex<Vec<Change>>>);

impl Observer for ChangeRecorder {
    fn on_epoch(&mut self, report: &EpochReport<'_>) {
        let changes = report.commit.iter().flat_map(|commit| &commit.changes);
        self.0
            .lock()
            .expect("nobody panicked")
            .extend(changes.cloned());
    }

    fn on_commit_failed(&mut self, fault: &PortFault) {
        panic!("{fault}");
    }
}

/// A running graph over its own journal and ledger.
pub struct TestGraph {
    pub folder: tempfile::TempDir,
    writer: Option<JournalWriter>,
    host: Option<Host>,
    ledger: Option<Arc<Ledger>>,
    pub recorder: ChangeRecorder,
    workers: usize,
    /// Number of old events that a backfill reads in each epoch.
    backfill_events: u64,
    pub written: Epoch,
}

impl TestGraph {
    /// A graph that completes each backfill in one epoch.
    pub fn new(workers: usize) -> Self {
        Self::with(workers, 1_000_000)
    }

    /// A graph whose backfills read `backfill_events` in each epoch.
    pub fn with(workers: usize, backfill_events: u64) -> Self {
        let mut graph = Self {
            folder: tempfile::tempdir().expect("a folder"),
            writer: None,
            host: None,
            ledger: None,
            recorder: ChangeRecorder::default(),
            workers,
            backfill_events,
            written: Epoch(0),
        };
        graph.open();
        let start = Control::Start {
            version: "test".to_owned(),
            bounds: TimeBounds {
                lateness: Span::seconds(20),
                horizon: Some(Span::seconds(150)),
                ..TimeBounds::default()
            },
            received: ReceiveTime(START * 1_000_000_000),
        };
        let rules = RULES.iter().map(|text| put(text, EventTime::MIN));
        graph.control(std::iter::once(start).chain(rules).collect());
        graph
    }

    pub fn open(&mut self) {
        let (writer, _) = open_journal(&self.folder.path().join("journal")).expect("a journal");
        let reader = writer.reader();
        let ledger = Arc::new(Ledger::open(&self.folder.path().join("ledger")).expect("a ledger"));
        let options = HostOptions {
            workers: self.workers,
            emit: EmitOptions::default(),
        };
        let host = Host::start_with_backfill_size(
            self.backfill_events,
            options,
            Box::new(ReadEpochs(reader.cursor(Epoch(1)))),
            Arc::new(ReadFrames(reader)),
            Box::new(WriteLedger(Arc::clone(&ledger))),
            Box::new(self.recorder.clone()),
        );
        self.host = Some(host.expect("the graph starts"));
        (self.writer, self.ledger) = (Some(writer), Some(ledger));
    }

    pub fn close(&mut self) {
        drop(self.writer.take());
        let host = self.host.take().expect("it runs");
        host.stop().expect("the graph stops");
        self.ledger = None;
    }

    pub fn restart(&mut self) {
        self.close();
        self.open();
        self.settle();
    }

    pub fn status(&self) -> Arc<weir_dataflow::Status> {
        self.host().status()
    }

    pub fn host(&self) -> &Host {
        self.host.as_ref().expect("it runs")
    }

    /// Writes the entries as one epoch and waits until the graph has processed it.
    pub fn write(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let writer = self.writer.as_mut().expect("it is open");
        for entry in entries {
            writer.append(&entry).expect("it can be written");
        }
        let epoch = writer.next_epoch();
        writer.append(&Entry::Seal { epoch }).expect("sealed");
        writer.sync().expect("synced");
        self.written = epoch;
        self.settle();
    }

    /// Waits until the graph has processed the last epoch.
    pub fn settle(&self) {
        let status = self.host().status();
        assert!(status.wait_for(self.written, Duration::from_secs(60)));
    }

    pub fn control(&mut self, controls: Vec<Control>) {
        self.write(controls.into_iter().map(Entry::Control));
    }

    /// Writes an epoch of events around `now`, some of them late.
    pub fn events(&mut self, rng: &mut StdRng, now: i64) {
        let frame = |rng: &mut StdRng| {
            let back = if rng.random_bool(0.2) { 90 } else { 5 };
            let time = chrono::DateTime::from_timestamp(now - rng.random_range(0..back), 0);
            let action = ["fail", "fail", "buy", "look"]
                .choose(rng)
                .expect("not empty");
            let user = rng.random_range(0..6);
            let line = serde_json::json!({
                "@timestamp": time.expect("a time").to_rfc3339(),
                "action": action,
                "user": format!("u{user}"),
                "host": format!("h{}", user % 2),
                "n": rng.random::<u32>(),
            });
            line.to_string()
        };
        let frames = (0..12).map(|_| frame(rng)).collect();
        self.write([Entry::from(Batch {
            tenant: "default".to_owned(),
            source: "shop".to_owned(),
            transport: Transport::Tcp,
            format: Format::Json,
            peer: None,
            zone: None,
            logsource: Some("product=shop".to_owned()),
            received: ReceiveTime(now * 1_000_000_000),
            delivery: None,
            frames,
        })]);
    }

    /// The whole ledger, with its outbox, as text.
    pub fn digest(&self) -> String {
        let mut text = Vec::new();
        let ledger = self.ledger.as_ref().expect("it is open");
        ledger.export(&mut text).expect("it can be read");
        String::from_utf8(text).expect("it is text")
    }

    /// All committed changes.
    pub fn changes(&self) -> Vec<Change> {
        self.recorder.0.lock().expect("nobody panicked").clone()
    }

    pub fn standing(&self) -> BTreeMap<AlertId, AlertRecord> {
        let ledger = self.ledger.as_ref().expect("it is open");
        let all = ledger.records(None, 1_000_000).expect("it can be read");
        let standing = all.into_iter().filter(|record| record.standing);
        standing.map(|record| (record.alert, record)).collect()
    }

    /// Event time up to which every source is complete.
    pub fn watermark(&self) -> EventTime {
        let clocks = self.host().status().clocks();
        clocks
            .iter()
            .map(|clock| clock.watermark)
            .min()
            .expect("a clock")
    }
}
