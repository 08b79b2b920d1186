//! Twenty kills under load: no acknowledged event is lost or doubled, and no alert contradicts itself.

mod support;

#[path = "crash/kill.rs"]
mod kill;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/subscriber.rs"]
mod subscriber;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kill::{KillPoint, is_rolling, segments};
use load::{Load, Sender};
use rand::SeedableRng;
use rand::rngs::StdRng;
use subscriber::{Revision, Subscriber, newest_position};
use support::files::write;
use support::rules::shop_rules;
use support::{LIMIT, Weir, config_with_agent, lasting_port, until};
use weir::server::adapters::{ReadEpochs, ReadFrames, WriteLedger};
use weir_dataflow::{EmitOptions, EpochReport, Host, HostOptions, Observer, PortFault};
use weir_schema::outbox::Cursor;
use weir_schema::{Change, Delivery, Epoch};
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;
use weir_web::change_json;

/// Number of kills.
const KILLS: usize = 20;

/// Settings that bring about many critical moments.
///
/// Small segments roll often and small epochs commit often. A short horizon makes the graph forget
/// state. A short lateness makes late events correct confirmed alerts.
const CONFIG: &str = r#"
[journal]
segment_mib = 1
commit_delay = "1ms"
epoch_delay = "2ms"
epoch_events_max = 500
[time]
lateness = "2s"
horizon = "5m"
"#;

/// The seed from `WEIR_SEED`, or a random one.
fn seed() -> u64 {
    let seed = std::env::var("WEIR_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000)
}

#[test]
fn kills_lose_and_double_no_event_and_contradict_no_alert() {
    let seed = seed();
    println!("WEIR_SEED={seed}");
    let began = Instant::now();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let rules = write(folder.path(), "rules.yml", shop_rules(4));
    let rules = format!("[rules]\nbuiltin = false\npaths = [{rules:?}]\n");
    let config = config_with_agent(lasting_port(), &format!("{CONFIG}{rules}"));
    let load = Load { seed };

    let subscriber = Arc::new(Subscriber::default());
    let weir = Weir::start(&data, &config);
    let sender = Sender::start(&weir, load);
    let weir = kill_again_and_again(weir, &config, seed, &sender, &subscriber);
    let sent = finish(weir, sender, &subscriber);
    println!("sent {sent} events in {KILLS} lives: {:?}", began.elapsed());

    assert_each_once(&data, load, sent);
    let live = export(&Ledger::open(&data.join("ledger")).expect("the ledger is whole"));
    let mut last = None;
    for workers in [1, 4] {
        let new = folder.path().join(format!("new{workers}"));
        let (rebuilt, ledger) = rebuild(&data, workers, &new);
        let difference = || first_difference(&rebuilt, &live, workers);
        assert!(rebuilt == live, "{}", difference());
        last = Some(ledger);
    }
    let changes = outbox(&last.expect("it was rebuilt"));
    assert_streamed(&subscriber, &changes);
    println!(
        "ledger {} bytes; {} segments; {:?}",
        live.len(),
        segments(&data),
        began.elapsed(),
    );
}

/// Kills the server [`KILLS`] times under load, and returns the server that runs then.
fn kill_again_and_again(
    mut weir: Weir,
    config: &str,
    seed: u64,
    sender: &Sender,
    subscriber: &Arc<Subscriber>,
) -> Weir {
    let mut random = StdRng::seed_from_u64(seed);
    let data = weir.data.clone();
    let (mut torn, mut rolling, mut behind) = (0, 0, 0);
    for life in 0..KILLS {
        let point = KillPoint::nth(life, &mut random);
        let subscription = subscriber.subscribe(&weir, life % 4 == 3);
        if !matches!(point, KillPoint::Replay(_)) {
            weir.await_ready();
        }
        sender.allow(sender.client.acknowledged() + 20_000);
        point.wait(&weir, sender, subscriber);
        let in_flight = sender.client.next_sequence() - sender.client.acknowledged();
        weir.kill();
        subscription.join().expect("no revision has two contents");
        rolling += usize::from(is_rolling(&data));
        // The spool is sent once the server is back. Until then, no events are added to it.
        sender.allow(sender.client.next_sequence());
        println!("kill {life}: {point:?}, {in_flight} events in flight");
        weir = Weir::start(&data, config);
        torn += usize::from(weir.stderr.text().contains("unfinished write"));
        // A ledger may have less than was streamed. The journal then restores the rest.
        behind += usize::from(newest_position(&weir) < subscriber.position());
    }
    println!(
        "{rolling} kills fell inside a segment roll, {torn} tore a write, \
         {behind} left a ledger behind the stream"
    );
    weir
}

/// Waits until all events are sent, evaluated and streamed, and stops the server.
fn finish(weir: Weir, sender: Sender, subscriber: &Arc<Subscriber>) -> u64 {
    let subscription = subscriber.subscribe(&weir, true);
    let sent = sender.finish();
    weir.await_metric("weir_events_decoded_total", "", sent);
    // A stream ends with its server, wherever it is, so wait for its end first.
    let end = newest_position(&weir);
    until("all changes are streamed", || {
        (subscriber.position() >= end).then_some(())
    });
    assert_eq!(weir.metric("weir_delivery_conflicts_total", ""), 0.0);
    assert_eq!(weir.metric("weir_parse_failures_total", ""), 0.0);
    weir.stop();
    subscription.join().expect("no revision has two contents");
    sent
}

/// The subscriber has every change of a rebuilt ledger, with the same content, and no other.
fn assert_streamed(subscriber: &Subscriber, changes: &[Change]) {
    let expected: HashMap<Revision, String> = changes
        .iter()
        .map(|change| {
            let key = (change.record.alert.to_string(), change.record.revision);
            (key, change_json(change).to_string())
        })
        .collect();
    let streamed = subscriber.lines.lock().expect("no panic");
    for (key, line) in streamed.iter() {
        let found = expected.get(key);
        assert_eq!(found, Some(line), "{key:?} is not in the ledger");
    }
    assert_eq!(streamed.len(), expected.len(), "changes were not streamed");
    let count = |kind: &str| {
        let changes = changes.iter();
        changes.filter(|change| change.kind.name() == kind).count()
    };
    let [raised, revised, retracted] = ["raised", "revised", "retracted"].map(count);
    let repeats = subscriber.repeats.load(Ordering::SeqCst);
    println!("{raised} raised, {revised} revised, {retracted} retracted, {repeats} repeated");
    assert!(
        raised > 1_000 && revised > 1_000 && retracted > 500,
        "too few changes"
    );
}

/// The journal holds every sent event once, byte for byte, and nothing else.
fn assert_each_once(data: &Path, load: Load, sent: u64) {
    let mut times = vec![0_u32; sent as usize];
    for (seq, batch) in support::batches(data) {
        let Some(Delivery::Agent { first_sequence, .. }) = batch.delivery else {
            panic!("batch {seq:?} is not of the agent");
        };
        for (n, frame) in (first_sequence..).zip(&batch.frames) {
            assert_eq!(frame, load.event(n), "event {n} in batch {seq:?}");
            times[n as usize] += 1;
        }
    }
    let wrong = times.iter().enumerate().find(|(_, times)| **times != 1);
    assert_eq!(
        wrong, None,
        "an event and its number of copies in the journal"
    );
}

fn export(ledger: &Ledger) -> Vec<u8> {
    let mut bytes = Vec::new();
    ledger.export(&mut bytes).expect("it can be exported");
    bytes
}

/// Replays the journal into a new ledger.
fn rebuild(data: &Path, workers: usize, into: &Path) -> (Vec<u8>, Arc<Ledger>) {
    let journal: JournalReader = support::journal::open(data);
    let last = journal.last_sealed();
    let ledger = Arc::new(Ledger::open(into).expect("a new ledger"));
    let observer = CommitFaults::default();
    let failed = Arc::clone(&observer.0);
    let host = Host::start(
        HostOptions {
            workers,
            emit: EmitOptions::default(),
        },
        Box::new(ReadEpochs(journal.cursor(Epoch(1)))),
        Arc::new(ReadFrames(journal)),
        Box::new(WriteLedger(Arc::clone(&ledger))),
        Box::new(observer),
    );
    let host = host.expect("the graph starts");
    assert!(
        host.status().wait_for(last, LIMIT),
        "the journal is replayed"
    );
    host.stop().expect("the graph stops");
    assert!(!failed.load(Ordering::SeqCst), "a commit failed");
    (export(&ledger), ledger)
}

/// All changes of the ledger, in order.
fn outbox(ledger: &Ledger) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    loop {
        let after = all.last().map(Cursor::of);
        let page = ledger.outbox(after, usize::MAX).expect("it can be read");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Records whether a commit failed.
#[derive(Default)]
struct CommitFaults(Arc<AtomicBool>);

impl Observer for CommitFaults {
    fn on_epoch(&mut self, _: &EpochReport<'_>) {}

    fn on_commit_failed(&mut self, fault: &PortFault) {
        println!("{fault}");
        self.0.store(true, Ordering::SeqCst);
    }
}

fn first_difference(rebuilt: &[u8], live: &[u8], workers: usize) -> String {
    let at = rebuilt.iter().zip(live).take_while(|(a, b)| a == b).count();
    format!(
        "rebuilt on {workers} workers, the ledger differs at byte {at} of {} and {}",
        rebuilt.len(),
        live.len()
    )
}
