//! Joins the sinks to journal, ledger and rules, and people to the sinks.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_dataflow::Status;
use weir_ingest::Intake;
use weir_respond::ports::{Clock, Fault, Outbox, Positions as KeepPositions, Tags};
use weir_respond::{Asked, Ports, Position, RespondMetrics, Responders, ocsf};
use weir_schema::said::{Cursor, OutboxRows};
use weir_schema::{
    AlertId, AlertRecord, Change, ChangeKind, Control, Delivered, Epoch, ReceiveTime, RuleVersion,
};
use weir_store::ledger::Ledger;
use weir_web::ports::{DeadLetter, Finding, PortError, SinkInfo, Sinks};

use crate::adapters::whole;
use crate::config::{BadConfig, Config, sink_problems};
use crate::rule_desk::RuleDesk;

/// Versions of rules whose tags are remembered; then they are asked for anew.
const TAGS_MAX: usize = 16_384;
/// Between two looks at whether the graph has caught up.
const READY_PAUSE: Duration = Duration::from_millis(200);

/// How far each sink has come, as the journal tells it.
#[derive(Debug, Default)]
pub struct Positions(BTreeMap<String, Position>);

impl Positions {
    /// Follows an entry of the journal.
    pub fn follow(&mut self, control: &Control) {
        if let Control::Delivered(entry) = control {
            self.0.entry(entry.sink.clone()).or_default().follow(entry);
        }
    }
}

/// What sinks are joined to.
pub struct Links<'l> {
    pub ledger: &'l Arc<Ledger>,
    pub intake: &'l Intake,
    pub desk: &'l Arc<RuleDesk>,
    pub status: &'l Arc<Status>,
    /// Before this epoch is done, the ledger may lack rows that were told before.
    pub begun: Epoch,
    pub news: watch::Receiver<u64>,
    pub registry: &'l Registry,
}

/// Starts the sinks that configuration asks for.
pub fn start(
    config: &Config,
    mut positions: Positions,
    links: &Links<'_>,
) -> Result<Arc<Responders>> {
    let bad = |problems: Vec<String>| BadConfig {
        file: PathBuf::from("[[sink]]"),
        problems,
    };
    let problems = sink_problems(&config.sink);
    if !problems.is_empty() {
        return Err(bad(problems).into());
    }
    let mut sinks = Vec::new();
    // In a cluster the process that keeps the ledger tells of it.
    let told_here: &[_] = match config.cluster.follows() {
        true => &[],
        false => &config.sink,
    };
    for sink in told_here {
        let options = sink.options();
        sinks.push(options.map_err(|reason| bad(vec![format!("{}: {reason}", sink.name)]))?);
    }
    let ports = Ports {
        outbox: Arc::new(ReadOutbox(Arc::clone(links.ledger))),
        positions: Arc::new(WritePositions(links.intake.clone())),
        clock: Arc::new(WallClock),
        tags: tags(links.desk),
        json: weir_web::change_json_as,
        begun: links.begun,
        news: links.news.clone(),
    };
    let metrics = RespondMetrics::register(links.registry)?;
    let (status, begun) = (Arc::clone(links.status), links.begun);
    let ready = move |stopped: &watch::Receiver<bool>| {
        while !status.wait_for(begun, READY_PAUSE) {
            if *stopped.borrow() || status.failed() || status.is_stopping() {
                return false;
            }
        }
        true
    };
    let position = |name: &str| positions.0.remove(name).unwrap_or_default();
    let started = Responders::start(sinks, ports, metrics, position, ready);
    let started = started.map_err(|(sink, error)| bad(vec![format!("{sink}: {}", whole(&error))]));
    Ok(Arc::new(started?))
}

/// Tells changes as findings of OCSF.
pub fn finding(desk: &Arc<RuleDesk>) -> Finding {
    let tags = tags(desk);
    Arc::new(move |change, kind| finding_of(tags.as_ref(), change, kind))
}

fn finding_of(tags: &dyn Tags, change: &Change, kind: ChangeKind) -> Value {
    let tags = tags.tags(&change.record.rule, change.record.version);
    ocsf::finding(change, kind, &tags)
}

fn fault(error: &dyn std::error::Error) -> Fault {
    Fault {
        message: whole(error),
    }
}

/// The ledger, read by sinks.
struct ReadOutbox(Arc<Ledger>);

impl Outbox for ReadOutbox {
    fn after(&self, after: Cursor, limit: usize) -> Result<OutboxRows, Fault> {
        let rows = self.0.outbox_rows((after.epoch, after.ordinal), limit);
        rows.map_err(|error| fault(&error))
    }

    fn change(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, Fault> {
        let change = self.0.change(alert, revision);
        change.map_err(|error| fault(&error))
    }

    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, Fault> {
        let previous = self.0.previous(alert, revision);
        previous.map_err(|error| fault(&error))
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, Fault> {
        self.0.record(alert).map_err(|error| fault(&error))
    }

    fn records(&self, after: Option<AlertId>, limit: usize) -> Result<Vec<AlertRecord>, Fault> {
        self.0.records(after, limit).map_err(|error| fault(&error))
    }
}

/// The journal, told how far sinks have come.
struct WritePositions(Intake);

impl KeepPositions for WritePositions {
    fn keep(&self, entry: Delivered) -> BoxFuture<'_, Result<(), Fault>> {
        async move {
            let kept = self.0.control(vec![Control::Delivered(entry)]).await;
            kept.map(drop).map_err(|error| fault(&error))
        }
        .boxed()
    }
}

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> ReceiveTime {
        weir_ingest::Clock::now(&weir_ingest::SystemClock)
    }
}

/// Tags of rules, remembered, since the rules are many and alerts come in bursts.
struct RuleTags {
    desk: Arc<RuleDesk>,
    known: Mutex<HashMap<(String, RuleVersion), Vec<String>>>,
}

fn tags(desk: &Arc<RuleDesk>) -> Arc<dyn Tags> {
    Arc::new(RuleTags {
        desk: Arc::clone(desk),
        known: Mutex::default(),
    })
}

impl Tags for RuleTags {
    fn tags(&self, rule: &str, version: RuleVersion) -> Vec<String> {
        let wanted = (rule.to_owned(), version);
        // A panic while it was held leaves it whole.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tags) = known.get(&wanted) {
            return tags.clone();
        }
        if known.len() >= TAGS_MAX {
            known.clear();
        }
        for (rule, _) in self.desk.rules() {
            known.insert((rule.id.to_string(), rule.version), rule.tags);
        }
        // Of a version that is gone nothing is known; it is not looked for again.
        known.entry(wanted).or_default().clone()
    }
}

/// Sinks over the API.
pub struct ManageSinks {
    pub responders: Arc<Responders>,
    pub runtime: Handle,
}

fn asked<T>(answer: Result<T, Asked>) -> Result<Option<T>, PortError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Asked::Unknown) => Ok(None),
        Err(Asked::Silent) => Err(PortError::Unavailable(Asked::Silent.to_string())),
    }
}

impl Sinks for ManageSinks {
    fn list(&self) -> Result<Vec<SinkInfo>, PortError> {
        let shown = self.runtime.block_on(self.responders.list());
        let info = |(name, shown): (String, Option<weir_respond::Shown>)| match shown {
            Some(shown) => SinkInfo {
                name,
                kind: shown.kind.to_owned(),
                target: shown.target,
                state: if shown.stopped.is_some() {
                    "stopped"
                } else {
                    "running"
                },
                stopped: shown.stopped,
                read: Some(shown.read),
                waiting: shown.waiting,
                waiting_since: shown.oldest,
                dead: shown.dead,
                last_failure: shown.last_failure,
            },
            None => SinkInfo {
                name,
                state: "starting",
                ..SinkInfo::default()
            },
        };
        Ok(shown.into_iter().map(info).collect())
    }

    fn dead(&self, sink: &str) -> Result<Option<Vec<DeadLetter>>, PortError> {
        let dead = asked(self.runtime.block_on(self.responders.dead(sink)))?;
        let letter = |(alert, dead): (AlertId, weir_respond::Dead)| DeadLetter {
            alert,
            from: dead.from,
            last: dead.last,
            rows: dead.rows,
            since: dead.since,
            reason: dead.reason,
        };
        Ok(dead.map(|dead| dead.into_iter().map(letter).collect()))
    }

    fn resend(&self, sink: &str, alert: Option<AlertId>) -> Result<Option<usize>, PortError> {
        asked(self.runtime.block_on(self.responders.resend(sink, alert)))
    }

    fn enable(&self, sink: &str) -> Result<bool, PortError> {
        let enabled = asked(self.runtime.block_on(self.responders.enable(sink)))?;
        Ok(enabled.is_some())
    }
}
