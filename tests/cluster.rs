//! Clusters of two processes: the same alerts as one process, and nothing lost with a process.

mod support;

#[path = "cluster/kills.rs"]
mod kills;
#[path = "cluster/rules.rs"]
mod rules;
#[path = "cluster/what_if.rs"]
mod what_if;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use support::http::Request;
use support::rules::shop_rules;
use support::{Weir, config};
use weir_schema::{AlertRecord, AlertState, ChangeKind};
use weir_store::ledger::Ledger;

/// Looks of a user that raise an alert.
const LOOKS: u32 = 3;

/// Number of senders. Each process receives from half of them.
const SENDERS: usize = 6;

/// Folders and configurations of the processes of a cluster, or of a single server.
struct Site {
    folder: tempfile::TempDir,
    configs: Vec<String>,
}

impl Site {
    fn new(processes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("rules.yml"), shop_rules(LOOKS)).expect("it can be written");
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

    /// Starts all processes at once, because each waits for the others.
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
            weir.await_ready();
        }
        started
    }

    /// Rows of the standing alerts, from the ledger of ended servers.
    fn standing(&self) -> Vec<String> {
        let ledger = Ledger::open(&self.data(0).join("ledger")).expect("it opens");
        let records = ledger.records(None, usize::MAX).expect("it can be read");
        let of_events = |record: &&AlertRecord| !record.rule.starts_with("weir.self.");
        let standing = records
            .iter()
            .filter(|record| record.standing)
            .filter(of_events);
        let mut rows: Vec<String> = standing.map(row).collect();
        rows.sort();
        rows
    }

    /// Fails unless each change follows from the one before it. Returns the number of changes.
    fn assert_changes_follow(&self) -> usize {
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

/// Key, rule, version, group, state, level, first, last, count and evidence of an alert.
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

/// Waits until each process has evaluated its events and the results are in the ledger.
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

fn stop(weirs: Vec<Weir>) {
    // A process may see the other one gone before it stops, and then ends with 75.
    std::thread::scope(|scope| {
        for weir in weirs {
            scope.spawn(move || {
                let code = weir.end();
                assert!(matches!(code, Some(0 | 75)), "{code:?}");
            });
        }
    });
}

/// Posts lines of source `s1`.
fn post_lines(weir: &Weir, lines: &str) {
    let request = Request::new("POST", "/api/v1/events?source=s1").body(lines.as_bytes());
    assert_eq!(weir.send(request).status, 200);
}

fn event(second: u32, kind: &str, user: &str) -> String {
    format!(
        "{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\",\"kind\":\"{kind}\",\"user\":\"{user}\"}}\n"
    )
}

/// A rule for the events that no other rule reads.
const OTHER: &str = "title: Other\nid: other\nlogsource: {product: shop}\n\
     detection: {selection: {kind: e}, condition: selection}\nlevel: high\nweir.group-by: [user]\n";

/// Standing alerts of a rule.
fn alerts(weir: &Weir, rule: &str) -> Vec<Value> {
    let page = weir.get(&format!("/api/v1/alerts?rule={rule}")).json();
    page["alerts"].as_array().expect("a list").clone()
}

#[test]
fn a_data_folder_belongs_to_one_process_of_one_cluster() {
    let site = Site::new(2);
    stop(site.start());
    let refused = |data: PathBuf, config: &str, message: &str| {
        let refused = Weir::try_start(&data, config).err();
        let stderr = refused.expect("the start fails").stderr;
        assert!(stderr.contains(message), "{stderr}");
    };
    // With another role, a process would miss the events of the other folder.
    let one = Site::new(1);
    refused(site.data(0), &one.configs[0], "belongs to process 0 of 2");
    refused(site.data(1), &site.configs[0], "belongs to process 1 of 2");
    one.start().into_iter().for_each(Weir::stop);
    refused(one.data(0), &site.configs[1], "a server by itself");
}
