//! Twenty kills under load: nothing acknowledged is lost, nothing is doubled, and no word is said in two ways.

mod support;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use weir::server::adapters::{ReadEpochs, ReadFrames, WriteLedger};
use weir_agent::{AgentClient, AgentIdentity, AgentOptions, encode_event};
use weir_dataflow::{EmitOptions, EpochReport, Host, HostOptions, Observer, PortFault};
use weir_schema::outbox::Cursor;
use weir_schema::{Change, Delivery, Epoch};
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;
use weir_web::change_json;

use support::http::Request;
use support::{LIMIT, Weir, config_with_agent, until, until_within};

const KILLS: usize = 20;

/// Small segments, so that there are rolls to be killed in; small epochs, so that there is always a
/// commit; a short horizon, so that there is forgetting; a short lateness, so that what comes late
/// corrects what was said for good.
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

const RULES: &str = r#"
title: An order
id: a
name: a
logsource: {product: shop}
detection: {selection: {kind: a}, condition: selection}
level: informational
---
title: A payment
id: b
name: b
logsource: {product: shop}
detection: {selection: {kind: b}, condition: selection}
level: informational
---
title: A look
id: c
name: c
logsource: {product: shop}
detection: {selection: {kind: c}, condition: selection}
level: informational
---
title: An order without a payment before it
id: unpaid
correlation:
    type: temporal
    rules: [a, b]
    group-by: [user]
    timespan: 10s
    condition: a and not b
level: high
---
title: Many looks
id: many
correlation:
    type: event_count
    rules: [c]
    group-by: [user]
    timespan: 20s
    condition: {gte: 4}
level: low
"#;

/// The load: what event `n` is, is a function of seed and number alone.
#[derive(Clone, Copy)]
struct Load {
    seed: u64,
}

impl Load {
    const USERS: u32 = 400;
    /// 2026-01-01.
    const BEGIN_NS: i64 = 1_767_225_600_000_000_000;
    const STEP_NS: i64 = 20_000_000;

    fn random(self, n: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(n))
    }

    /// A tenth are orders, half are looks, a tenth are payments, the rest is nothing.
    fn kind(random: &mut StdRng) -> &'static str {
        match random.random_range(0..10) {
            0 => "a",
            1..6 => "c",
            6 => "b",
            _ => "d",
        }
    }

    fn event(self, n: u64) -> Vec<u8> {
        let mut random = self.random(n);
        let kind = Self::kind(&mut random);
        let mut user = random.random_range(0..Self::USERS);
        let mut time = n as i64;
        if kind == "b" {
            // For an order of a while ago: 4 to 34 seconds late.
            let back = random.random_range(200..1_700);
            let around = (0..40).filter_map(|more| n.checked_sub(back + more));
            let order = around
                .into_iter()
                .find(|m| Self::kind(&mut self.random(*m)) == "a");
            if let Some(order) = order {
                let mut random = self.random(order);
                Self::kind(&mut random);
                user = random.random_range(0..Self::USERS);
                time = order as i64 - 150;
            }
        }
        let user = format!("u{user}");
        // What does not compress fills segments.
        let noise: String = (0..96).map(|_| random.random_range('!'..='~')).collect();
        let raw = format!("{n} {noise}");
        let time_ns = Self::BEGIN_NS + time * Self::STEP_NS;
        let fields = [("user", user.as_str())];
        encode_event(
            time_ns,
            Some(kind),
            Some("product=shop"),
            &fields,
            Some(&raw),
        )
    }
}

/// The agent, on a thread of its own; it outlives every server.
struct Sender {
    client: Arc<AgentClient>,
    /// How many events may be sent at most.
    allowed: watch::Sender<u64>,
    thread: std::thread::JoinHandle<u64>,
}

impl Sender {
    fn start(weir: &Weir, load: Load) -> Self {
        let identity = AgentIdentity {
            agent: "shop".to_owned(),
            spool: 7,
            token: weir.token.clone(),
        };
        let options = AgentOptions {
            spool_events_max: 4_000,
            batch_events_max: 150,
            in_flight_events_max: 3_000,
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_millis(50),
            ..AgentOptions::default()
        };
        let (allowed, mut may) = watch::channel(0);
        let (hand, take) = std::sync::mpsc::sync_channel(1);
        let address = weir.agent.to_string();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let client = AgentClient::connect_with(&address, identity, options).await;
                let client = Arc::new(client.expect("the agents' port is open"));
                hand.send(Arc::clone(&client)).expect("somebody waits");
                let mut sent = 0;
                // Until the end of what may be sent is final.
                while may.wait_for(|allowed| *allowed > sent).await.is_ok() {
                    client
                        .push(load.event(sent))
                        .await
                        .expect("the agent never gives up");
                    sent += 1;
                }
                client.flush().await.expect("all becomes durable");
                sent
            })
        });
        let client = take.recv().expect("it connects");
        Self {
            client,
            allowed,
            thread,
        }
    }
}

/// Hears the stream through all lives, and never the same word twice in different ways.
#[derive(Default)]
struct Listener {
    /// By alert and revision: the line.
    heard: Mutex<HashMap<(String, u64), String>>,
    count: AtomicUsize,
    cursor: Mutex<String>,
    repeats: AtomicUsize,
}

impl Listener {
    /// Listens until the server is gone: to what comes after all that was heard, or to all anew.
    fn listen(self: &Arc<Self>, weir: &Weir, anew: bool) -> std::thread::JoinHandle<()> {
        let cursor = self.cursor.lock().expect("no panic").clone();
        let after = if anew || cursor.is_empty() {
            "0-0"
        } else {
            &cursor
        };
        let path = format!("/api/v1/stream/alerts.ndjson?state=all&after={after}");
        let (address, token) = (weir.http, weir.token.clone());
        let listener = Arc::clone(self);
        std::thread::spawn(move || {
            let opened = Request::new("GET", &path).token(&token).open(address);
            let Ok((200, stream)) = opened else { return };
            // A line that was cut by the kill has not been said.
            let whole = stream.split(b'\n').map_while(Result::ok);
            for line in whole.filter(|line| line.last() == Some(&b'}')) {
                listener.hear(&String::from_utf8(line).expect("JSON is UTF-8"));
            }
        })
    }

    fn hear(&self, line: &str) {
        let said: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |name: &str| said[name].as_str().expect("a text").to_owned();
        let key = (text("alert"), said["revision"].as_u64().expect("a number"));
        let before = self
            .heard
            .lock()
            .expect("no panic")
            .insert(key, line.to_owned());
        if let Some(before) = before {
            assert_eq!(before, line, "one revision has two contents");
            self.repeats.fetch_add(1, Ordering::SeqCst);
        }
        let mut cursor = self.cursor.lock().expect("no panic");
        if parsed(&text("id")) > parsed(&cursor) {
            *cursor = text("id");
        }
        drop(cursor);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// Epoch and place in it.
fn parsed(cursor: &str) -> Option<(u64, u64)> {
    let (epoch, ordinal) = cursor.split_once('-')?;
    Some((epoch.parse().ok()?, ordinal.parse().ok()?))
}

/// Where the kill falls.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// After so many acknowledged events.
    Acknowledged(u64),
    /// The moment a new segment appears.
    Roll,
    /// While alerts are committed: after so many changes were heard, and a moment.
    Commit(usize, Duration),
    /// While the journal is replayed: a moment after the start.
    Replay(Duration),
}

impl Aim {
    fn nth(n: usize, random: &mut StdRng) -> Self {
        match n % 5 {
            0 | 3 => Self::Acknowledged(random.random_range(50..6_000)),
            1 => Self::Roll,
            2 => {
                let moment = Duration::from_micros(random.random_range(0..20_000));
                Self::Commit(random.random_range(1..200), moment)
            }
            _ => Self::Replay(Duration::from_millis(random.random_range(0..150))),
        }
    }

    fn wait(self, weir: &Weir, sender: &Sender, listener: &Listener) {
        let acknowledged = || sender.client.acknowledged();
        let begun = acknowledged();
        match self {
            Self::Acknowledged(events) => spin(|| acknowledged() >= begun + events),
            Self::Roll => {
                let count = || segments(&weir.data);
                let before = count();
                spin(|| count() > before);
            }
            Self::Commit(changes, moment) => {
                let before = listener.count();
                spin(|| listener.count() >= before + changes);
                let deadline = Instant::now() + moment;
                spin(|| Instant::now() >= deadline);
            }
            Self::Replay(moment) => {
                let deadline = Instant::now() + moment;
                spin(|| Instant::now() >= deadline);
            }
        }
    }
}

/// Waits for the very moment.
fn spin(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !reached() {
        assert!(
            Instant::now() < deadline,
            "the moment of the kill never came"
        );
        std::thread::yield_now();
    }
}

fn segments(data: &Path) -> usize {
    std::fs::read_dir(data.join("journal"))
        .expect("the journal")
        .count()
}

/// Whether the newest segment has no block yet: nothing that is acknowledged is in it.
fn is_rolling(data: &Path) -> bool {
    const BLOCK_BYTES_MIN: u64 = 1_024;
    let entries = std::fs::read_dir(data.join("journal")).expect("the journal");
    let paths = entries.map(|entry| entry.expect("it is there").path());
    let newest = paths.filter(|path| path.extension().is_some()).max();
    newest.is_some_and(|path| {
        path.metadata()
            .is_ok_and(|file| file.len() < BLOCK_BYTES_MIN)
    })
}

/// A port outside of the range that the kernel gives to others, for it must be free again later.
fn lasting_port(random: &mut StdRng) -> u16 {
    until("a free port", || {
        let port = random.random_range(10_240..32_000);
        std::net::TcpListener::bind(("127.0.0.1", port))
            .ok()
            .map(|_| port)
    })
}

#[test]
fn kills_lose_nothing_double_nothing_and_unsay_nothing() {
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000);
    println!("WEIR_SEED={seed}");
    let began = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("rules can be written");
    let rules = format!(
        "[rules]\nbuiltin = false\npaths = [{:?}]\n",
        rules.display().to_string()
    );
    let port = lasting_port(&mut random);
    let config = config_with_agent(port, &format!("{CONFIG}{rules}"));
    let load = Load { seed };

    let listener = Arc::new(Listener::default());
    let mut weir = Weir::start(&data, &config);
    let sender = Sender::start(&weir, load);
    let (mut torn, mut rolling, mut behind) = (0, 0, 0);
    for life in 0..KILLS {
        let aim = Aim::nth(life, &mut random);
        let listening = listener.listen(&weir, life % 4 == 3);
        if !matches!(aim, Aim::Replay(_)) {
            await_ready(&weir);
        }
        let begun = sender.client.acknowledged();
        sender
            .allowed
            .send_modify(|allowed| *allowed = begun + 20_000);
        aim.wait(&weir, &sender, &listener);
        let unacknowledged = sender.client.next_sequence() - sender.client.acknowledged();
        weir.kill();
        listening.join().expect("no revision has two contents");
        rolling += usize::from(is_rolling(&data));
        // What the spool holds goes on when the server is there again; no more is added before.
        let sent = sender.client.next_sequence();
        sender.allowed.send_modify(|allowed| *allowed = sent);
        println!("kill {life}: {aim:?}, {unacknowledged} events under way");
        weir = Weir::start(&data, &config);
        torn += usize::from(weir.stderr.text().contains("unfinished write"));
        behind += usize::from(is_behind(&weir, &listener));
    }
    println!(
        "{rolling} kills fell inside a segment roll, {torn} tore a write, \
         {behind} left a ledger behind what it had said"
    );

    // The last life hears all to the end.
    let listening = listener.listen(&weir, true);
    let Sender {
        client,
        allowed,
        thread,
    } = sender;
    drop(allowed);
    let sent = thread.join().expect("the agent never gives up");
    assert_eq!(client.acknowledged(), sent);
    drop(client);
    until_within(LIMIT, "all events are judged", || {
        (weir.metric("weir_events_decoded_total", "") as u64 >= sent).then_some(())
    });
    // A stream ends with its server, wherever it is; who listens would come again.
    let end = latest(&weir);
    until("all changes are heard", || {
        (parsed(&listener.cursor.lock().expect("no panic")) >= end).then_some(())
    });
    assert_eq!(weir.metric("weir_delivery_conflicts_total", ""), 0.0);
    assert_eq!(weir.metric("weir_parse_failures_total", ""), 0.0);
    weir.stop();
    listening.join().expect("no revision has two contents");
    println!("sent {sent} events in {KILLS} lives: {:?}", began.elapsed());

    assert_each_once(&data, load, sent);
    let kept = export(&Ledger::open(&data.join("ledger")).expect("the ledger holds"));
    let mut last = None;
    for workers in [1, 4] {
        let (rebuilt, ledger) =
            rebuild(&data, workers, &folder.path().join(format!("new{workers}")));
        assert!(
            rebuilt == kept,
            "{}",
            first_difference(&rebuilt, &kept, workers)
        );
        last = Some(ledger);
    }
    let ledger = last.expect("it was rebuilt");
    let all = outbox(&ledger);
    let told: HashMap<(String, u64), String> = all
        .iter()
        .map(|change| {
            let key = (change.record.alert.to_string(), change.record.revision);
            (key, change_json(change).to_string())
        })
        .collect();
    let heard = listener.heard.lock().expect("no panic");
    for (key, line) in heard.iter() {
        assert_eq!(
            told.get(key),
            Some(line),
            "{key:?} was said and is no more so"
        );
    }
    assert_eq!(heard.len(), told.len(), "changes that nobody heard");
    let kinds = |kind: &str| {
        all.iter()
            .filter(|change| change.kind.name() == kind)
            .count()
    };
    let (raised, revised, retracted) = (kinds("raised"), kinds("revised"), kinds("retracted"));
    let repeats = listener.repeats.load(Ordering::SeqCst);
    println!(
        "{raised} raised, {revised} revised, {retracted} retracted, {repeats} heard again; \
         ledger {} bytes; {} segments; {:?}",
        kept.len(),
        segments(&data),
        began.elapsed(),
    );
    assert!(
        raised > 1_000 && revised > 1_000 && retracted > 500,
        "too quiet a load"
    );
}

/// The cursor of the newest change in the ledger.
fn latest(weir: &Weir) -> Option<(u64, u64)> {
    let request = Request::new("GET", "/api/v1/stream/alerts?state=all").token(&weir.token);
    let (status, stream) = request.open(weir.http).expect("it answers");
    assert_eq!(status, 200);
    stream.get_ref().header("weir-cursor").and_then(parsed)
}

/// Whether the ledger has less than was heard before the kill; the journal will give it back.
fn is_behind(weir: &Weir, listener: &Listener) -> bool {
    latest(weir) < parsed(&listener.cursor.lock().expect("no panic"))
}

fn await_ready(weir: &Weir) {
    until("ready", || {
        (weir.get("/readyz").status == 200).then_some(())
    });
}

/// Every event sent is in the journal, once, with its bytes, and nothing else is.
fn assert_each_once(data: &Path, load: Load, sent: u64) {
    let mut times = vec![0_u32; sent as usize];
    for (seq, batch) in support::batches(data) {
        let Some(Delivery::Agent { first_sequence, .. }) = batch.delivery else {
            panic!("batch {seq:?} came from nowhere");
        };
        for (n, frame) in (first_sequence..).zip(&batch.frames) {
            assert_eq!(frame, load.event(n), "event {n} in batch {seq:?}");
            times[n as usize] += 1;
        }
    }
    let wrong = times.iter().enumerate().find(|(_, times)| **times != 1);
    assert_eq!(wrong, None, "an event, and how often it is in the journal");
}

fn export(ledger: &Ledger) -> Vec<u8> {
    let mut bytes = Vec::new();
    ledger.export(&mut bytes).expect("it can be exported");
    bytes
}

/// A ledger made anew from the journal.
fn rebuild(data: &Path, workers: usize, into: &Path) -> (Vec<u8>, Arc<Ledger>) {
    let journal: JournalReader = support::journal(data);
    let last = journal.last_sealed();
    let ledger = Arc::new(Ledger::open(into).expect("a new ledger"));
    let deaf = Deaf::default();
    let faults = Arc::clone(&deaf.0);
    let host = Host::start(
        HostOptions {
            workers,
            emit: EmitOptions::default(),
        },
        Box::new(ReadEpochs(journal.cursor(Epoch(1)))),
        Arc::new(ReadFrames(journal)),
        Box::new(WriteLedger(Arc::clone(&ledger))),
        Box::new(deaf),
    );
    let host = host.expect("the graph starts");
    assert!(
        host.status().wait_for(last, LIMIT),
        "the journal is judged anew"
    );
    host.stop().expect("the graph stops");
    assert!(!faults.load(Ordering::SeqCst), "a commit failed");
    (export(&ledger), ledger)
}

/// All changes in order.
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

#[derive(Default)]
struct Deaf(Arc<AtomicBool>);

impl Observer for Deaf {
    fn on_epoch(&mut self, _: &EpochReport<'_>) {}

    fn on_commit_failed(&mut self, fault: &PortFault) {
        println!("{fault}");
        self.0.store(true, Ordering::SeqCst);
    }
}

fn first_difference(rebuilt: &[u8], kept: &[u8], workers: usize) -> String {
    let at = rebuilt.iter().zip(kept).take_while(|(a, b)| a == b).count();
    format!(
        "rebuilt on {workers} workers, the ledger differs at byte {at} of {} and {}",
        rebuilt.len(),
        kept.len()
    )
}
