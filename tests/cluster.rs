//! Two processes of one cluster say what one process says; losing one loses nothing and doubles nothing.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use support::http::Request;
use support::{Weir, config, until};
use weir_schema::{AlertRecord, AlertState, ChangeKind};
use weir_store::ledger::Ledger;

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
    condition: {gte: 3}
level: low
"#;

/// Senders; half of them to each process.
const SENDERS: usize = 6;

/// Folders and configurations of the processes of a cluster, or of one by itself.
struct Site {
    folder: tempfile::TempDir,
    configs: Vec<String>,
}

impl Site {
    fn new(processes: usize, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("rules.yml"), rules).expect("it can be written");
        std::fs::write(path("secret"), "0123456789abcdef0123456789abcdef").expect("as well");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path("secret"), private).expect("it is ours");
        let bound: Vec<TcpListener> = (0..processes)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free"))
            .collect();
        let address = |bound: &TcpListener| bound.local_addr().expect("it is bound").to_string();
        let addresses: Vec<String> = bound.iter().map(address).collect();
        let mut sources = String::new();
        for sender in 0..SENDERS {
            let text = format!(
                "[[source]]\nname = \"s{sender}\"\ntransport = \"http\"\nlogsource = \"product=shop\"\n"
            );
            sources.push_str(&text);
        }
        let rules = path("rules.yml");
        let one = |process: usize| {
            let mut text = format!(
                "[time]\nlateness = \"30s\"\n[rules]\nbuiltin = false\npaths = [{rules:?}]\n"
            );
            if processes > 1 {
                let secret = path("secret");
                let _ = write!(
                    text,
                    "[cluster]\nprocess = {process}\naddresses = {addresses:?}\nsecret_file = {secret:?}\n"
                );
            }
            config(&(text + &sources))
        };
        let configs = (0..processes).map(one).collect();
        Self { folder, configs }
    }

    fn data(&self, process: usize) -> PathBuf {
        self.folder.path().join(format!("data{process}"))
    }

    /// Starts all processes: each waits for the others.
    fn start(&self) -> Vec<Weir> {
        let started: Vec<Weir> = std::thread::scope(|scope| {
            let starts = self.configs.iter().enumerate();
            let starts: Vec<_> = starts
                .map(|(process, config)| {
                    scope.spawn(move || Weir::start(&self.data(process), config))
                })
                .collect();
            let started = starts
                .into_iter()
                .map(|start| start.join().expect("no panic"));
            started.collect()
        });
        for weir in &started {
            until("ready", || {
                (weir.get("/readyz").status == 200).then_some(())
            });
        }
        started
    }

    /// The alerts that stand, as the standing digest has them; the servers have ended.
    fn standing(&self) -> Vec<String> {
        let ledger = Ledger::open(&self.data(0).join("ledger")).expect("it opens");
        let records = ledger.records(None, usize::MAX).expect("it can be read");
        let standing = records.iter().filter(|record| record.standing);
        let mut rows: Vec<String> = standing.map(row).collect();
        rows.sort();
        rows
    }

    /// That every change follows from the one before it, and none came twice.
    fn assert_said_once(&self) -> usize {
        let ledger = Ledger::open(&self.data(0).join("ledger")).expect("it opens");
        let changes = ledger.outbox(None, usize::MAX).expect("it can be read");
        let mut stands: BTreeMap<_, (u64, bool)> = BTreeMap::new();
        for change in &changes {
            let alert = change.record.alert;
            let (revision, stood) = stands.get(&alert).copied().unwrap_or_default();
            assert_eq!(change.record.revision, revision + 1, "{change:?}");
            assert_eq!(change.kind == ChangeKind::Raised, !stood, "{change:?}");
            stands.insert(alert, (revision + 1, change.kind != ChangeKind::Retracted));
            for gone in &change.supersedes {
                stands.entry(*gone).and_modify(|(_, stood)| *stood = false);
            }
        }
        changes.len()
    }
}

/// (key, rule, version, group, state, level, first, last, count, evidence) of an alert.
fn row(record: &AlertRecord) -> String {
    assert!(!matches!(record.state, AlertState::SupersededBy(_)) && !record.limited);
    let evidence = record.evidence.head.iter().chain(&record.evidence.tail);
    let events: Vec<String> = evidence.map(|item| item.event.to_string()).collect();
    format!(
        "{} {} {} {:?} {} {} {:?} {:?} {} {events:?}",
        record.key,
        record.rule,
        record.version,
        record.group,
        record.state.name(),
        record.level.name(),
        record.first,
        record.last,
        record.count,
    )
}

/// Lines of one sender.
struct Chunk {
    sender: usize,
    lines: String,
    events: u64,
}

/// What all send, in an order in which much is late, but nothing too late.
fn chunks(seed: u64) -> Vec<Chunk> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut events: Vec<(i64, usize, String)> = (0..3_000)
        .map(|n: i64| {
            let sender = random.random_range(0..SENDERS);
            let kind = ["a", "b", "c", "c", "d"][random.random_range(0..5)];
            let user = random.random_range(0..60);
            let at = n * 50;
            let line = format!(
                "{{\"timestamp\":\"2026-01-01T00:{:02}:{:02}.{:03}Z\",\"kind\":\"{kind}\",\
                 \"user\":\"u{user}\",\"n\":{n}}}\n",
                at / 60_000,
                at / 1000 % 60,
                at % 1000
            );
            // Up to a minute late: behind the watermark, and so a correction.
            (at + random.random_range(0..60_000), sender, line)
        })
        .collect();
    events.sort();
    let mut chunks = Vec::new();
    for part in events.chunks(100) {
        for sender in 0..SENDERS {
            let mine = part.iter().filter(|(_, by, _)| *by == sender);
            let lines: Vec<&str> = mine.map(|(_, _, line)| line.as_str()).collect();
            if !lines.is_empty() {
                chunks.push(Chunk {
                    sender,
                    events: lines.len() as u64,
                    lines: lines.concat(),
                });
            }
        }
    }
    chunks
}

fn post(weir: &Weir, place: usize, chunk: &Chunk) {
    let path = format!("/api/v1/events?source=s{}", chunk.sender);
    let request = Request::new("POST", &path)
        .header("Idempotency-Key", &format!("chunk-{place}"))
        .body(chunk.lines.as_bytes());
    let reply = weir.send(request);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Waits until all that each has taken in is judged, and its results are in the ledger.
fn await_all(weirs: &[Weir], events: &[u64]) {
    for (weir, events) in weirs.iter().zip(events) {
        weir.await_metric("weir_events_decoded_total", "", *events);
    }
    let last = weirs
        .iter()
        .map(|weir| weir.metric("weir_epoch", "") as u64)
        .max();
    weirs[0].await_metric("weir_epoch", "", last.unwrap_or_default());
}

/// What one process says of it.
fn alone(chunks: &[Chunk]) -> Vec<String> {
    let site = Site::new(1, RULES);
    let weirs = site.start();
    for (place, chunk) in chunks.iter().enumerate() {
        post(&weirs[0], place, chunk);
    }
    await_all(&weirs, &[chunks.iter().map(|chunk| chunk.events).sum()]);
    weirs.into_iter().for_each(Weir::stop);
    let said = site.assert_said_once();
    let standing = site.standing();
    println!("one process: {} stand of {said} changes", standing.len());
    standing
}

/// Sends chunks, each to the process of its sender; counts the events of each.
fn send(weirs: &[Weir], chunks: &[Chunk], range: std::ops::Range<usize>, sent: &mut [u64]) {
    for place in range {
        let chunk = &chunks[place];
        let process = chunk.sender % weirs.len();
        post(&weirs[process], place, chunk);
        sent[process] += chunk.events;
    }
}

fn stop(weirs: Vec<Weir>) {
    // A process that is told to stop may see another gone before: it may say so.
    std::thread::scope(|scope| {
        for weir in weirs {
            scope.spawn(move || {
                let code = weir.end();
                assert!(matches!(code, Some(0 | 75)), "{code:?}");
            });
        }
    });
}

#[test]
fn two_processes_say_what_one_does_whoever_is_killed_between() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let chunks = chunks(seed);
    let wanted = alone(&chunks);
    assert!(wanted.len() > 100, "too quiet a load");
    let third = chunks.len() / 3;

    let site = Site::new(2, RULES);
    let mut weirs = site.start();
    let mut sent = [0, 0];
    send(&weirs, &chunks, 0..third, &mut sent);
    // The one that follows is killed, and then the one that leads.
    for (round, killed) in [(1, 1), (2, 0)] {
        let other = weirs.remove(1 - killed);
        weirs.remove(0).kill();
        let said = other.stderr.wait_for("is gone", support::LIMIT);
        assert!(said.is_some(), "{}", other.stderr.text());
        assert_eq!(other.await_end(), Some(75));
        weirs = site.start();
        // An answer that was lost with the process: the sender repeats itself.
        let last = round * third - 1;
        post(&weirs[chunks[last].sender % 2], last, &chunks[last]);
        send(
            &weirs,
            &chunks,
            round * third..(round + 1) * third,
            &mut sent,
        );
    }
    send(&weirs, &chunks, 3 * third..chunks.len(), &mut sent);
    await_all(&weirs, &sent);
    stop(weirs);
    let said = site.assert_said_once();
    let standing = site.standing();
    println!(
        "two processes: {} stand of {said} changes; {sent:?} events",
        standing.len()
    );
    assert_eq!(standing, wanted);
    // Whoever begins again says the same, and nothing anew.
    let weirs = site.start();
    stop(weirs);
    assert_eq!((site.standing(), site.assert_said_once()), (wanted, said));
}

fn alerts(weir: &Weir, rule: &str) -> Vec<Value> {
    let told = weir.get(&format!("/api/v1/alerts?rule={rule}")).json();
    told["alerts"].as_array().expect("a list").clone()
}

#[test]
fn a_rule_given_to_process_0_judges_what_comes_and_came_in_by_process_1() {
    let site = Site::new(2, RULES);
    let weirs = site.start();
    let [lead, follow] = &weirs[..] else {
        panic!("two were started")
    };
    let line = |second: u32, kind: &str| {
        format!(
            "{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\",\"kind\":\"{kind}\",\"user\":\"u\"}}\n"
        )
    };
    let post = |weir: &Weir, lines: &str| {
        let request = Request::new("POST", "/api/v1/events?source=s1").body(lines.as_bytes());
        assert_eq!(weir.send(request).status, 200);
    };
    post(follow, &line(20, "e"));
    post(follow, &line(21, "c"));
    await_all(&weirs, &[0, 2]);

    // Its beginning is the watermark, which the events above are ahead of: they are seen anew.
    let rule = "title: Other\nid: other\nlogsource: {product: shop}\ndetection: {selection: {kind: e}, \
                condition: selection}\nlevel: high\nweir.group-by: [user]\n";
    let reply = lead.send(Request::new("PUT", "/api/v1/rules").body(rule.as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = |count: u64| {
        until(&format!("{count} events in the alert"), || {
            let alerts = alerts(lead, "other");
            let alert = alerts.first()?.clone();
            (alert["count"] == count).then_some(alert)
        })
    };
    seen(1);
    post(follow, &line(22, "e"));
    let alert = seen(2);
    // Through both doors into one group.
    post(lead, &line(23, "e"));
    seen(3);
    assert_eq!(alert["group"]["user"], "u");

    // The bytes are in the other's journal.
    let id = alert["alert"].as_str().expect("an id");
    let told = lead.get(&format!("/api/v1/alerts/{id}/explanation")).json();
    let events = told["events"].as_array().expect("a list");
    let texts: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| event["text"].as_str())
        .collect();
    let wanted = [line(20, "e"), line(22, "e"), line(23, "e")];
    let wanted: BTreeSet<&str> = wanted.iter().map(|line| line.trim_end()).collect();
    assert_eq!(texts, wanted, "{told}");
    assert!(
        events
            .iter()
            .all(|event| event["clauses"][0]["rule"] == "other"),
        "{told}"
    );

    // A rule that goes takes all with it, wherever its events are.
    let reply = lead.send(Request::new("DELETE", "/api/v1/rules/other"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    until("nothing stands", || {
        alerts(lead, "other").is_empty().then_some(())
    });

    // Alerts and rules are at process 0; events, health and metrics are anywhere.
    for (method, path) in [
        ("GET", "/api/v1/alerts"),
        ("GET", "/api/v1/stream/alerts"),
        ("GET", "/api/v1/rules"),
        ("PUT", "/api/v1/rules"),
    ] {
        let reply = follow.send(Request::new(method, path).body(rule.as_bytes()));
        assert_eq!(reply.status, 421, "{method} {path}: {}", reply.text());
        assert!(reply.text().contains("at process 0"), "{}", reply.text());
    }
    stop(weirs);
}

#[test]
fn a_what_if_tells_of_the_groups_of_all_processes_and_is_promoted_for_all() {
    let site = Site::new(2, RULES);
    let weirs = site.start();
    let [lead, follow] = &weirs[..] else {
        panic!("two were started")
    };
    // Forty users look twice, each time through another door; every other one a third time. Ten do
    // what no rule asks for.
    let line = |second: u32, kind: &str, user: u32| {
        format!(
            "{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\",\"kind\":\"{kind}\",\"user\":\"u{user}\"}}\n"
        )
    };
    let all = |second: u32, kind: &str, step: usize, users: u32| -> String {
        let users = (0..users).step_by(step);
        users.map(|user| line(second, kind, user)).collect()
    };
    let post = |weir: &Weir, lines: &str| {
        let request = Request::new("POST", "/api/v1/events?source=s1").body(lines.as_bytes());
        assert_eq!(weir.send(request).status, 200);
    };
    post(lead, &all(20, "c", 1, 40));
    post(follow, &all(21, "c", 1, 40));
    post(follow, &all(22, "c", 2, 40));
    post(follow, &all(23, "e", 1, 10));
    await_all(&weirs, &[40, 70]);
    let begin = |query: &str, rule: &str| {
        let request = Request::new("POST", query).body(rule.as_bytes());
        let reply = lead.send(request);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["what_if"]["id"].as_str().map(str::to_owned);
        id.expect("it has an id")
    };
    let counts = |id: &str| {
        until("it has answered", || {
            let told = lead.get(&format!("/api/v1/what-if/{id}?limit=1000")).json();
            let running = told["what_if"]["state"] == "running";
            let count = |name: &str| told["what_if"][name].as_u64().unwrap_or_default();
            let shown = told["alerts"].as_array().map_or(0, Vec::len) as u64;
            running.then(|| (count("gained"), count("lost"), count("changed"), shown))
        })
    };
    let (_, many) = RULES.rsplit_once("---\n").expect("several");
    let lower = begin("/api/v1/what-if", &many.replace("gte: 3", "gte: 2"));
    let rule = "title: Other\nid: other\nlogsource: {product: shop}\ndetection: {selection: {kind: e}, \
                condition: selection}\nlevel: high\nweir.group-by: [user]\n";
    let other = begin("/api/v1/what-if?backfill=1h", rule);
    // Twenty more, and twenty that begin earlier.
    assert_eq!(counts(&lower), (20, 0, 20, 40));
    assert_eq!(counts(&other), (10, 0, 0, 10));
    assert_eq!(
        (alerts(lead, "many").len(), alerts(lead, "other").len()),
        (20, 0)
    );

    // It follows what comes by any door.
    post(follow, &line(24, "e", 77));
    await_all(&weirs, &[40, 71]);
    until("it follows", || (counts(&other).0 == 11).then_some(()));
    for id in [&lower, &other] {
        let reply = lead.send(Request::new(
            "POST",
            &format!("/api/v1/what-if/{id}/promote"),
        ));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    until("both are done", || {
        let found = (alerts(lead, "many").len(), alerts(lead, "other").len());
        (found == (40, 11)).then_some(())
    });
    for (method, path) in [
        ("POST", "/api/v1/what-if"),
        ("GET", "/api/v1/what-if"),
        ("GET", &*format!("/api/v1/what-if/{lower}")),
        ("DELETE", &*format!("/api/v1/what-if/{lower}")),
        ("POST", &*format!("/api/v1/what-if/{lower}/promote")),
    ] {
        let reply = follow.send(Request::new(method, path).body(rule.as_bytes()));
        assert_eq!(reply.status, 421, "{method} {path}: {}", reply.text());
    }
    stop(weirs);
    // And a restart derives the same from the two journals.
    let standing = site.standing();
    let weirs = site.start();
    stop(weirs);
    assert_eq!(site.standing(), standing);
}

#[test]
fn a_data_folder_is_not_taken_for_another_process_of_the_cluster() {
    let site = Site::new(2, RULES);
    stop(site.start());
    let refused = |data: PathBuf, config: &str, says: &str| {
        let not = Weir::try_start(&data, config).err().expect("it is refused");
        assert!(not.stderr.contains(says), "{}", not.stderr);
    };
    // As a server by itself it would miss the events of the other; as the other, too.
    let one = Site::new(1, RULES);
    refused(site.data(0), &one.configs[0], "belongs to process 0 of 2");
    refused(site.data(1), &site.configs[0], "belongs to process 1 of 2");
    one.start().into_iter().for_each(Weir::stop);
    refused(one.data(0), &site.configs[1], "a server by itself");
}
