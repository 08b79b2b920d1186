//! Starts the sinks, joins them to journal, ledger and rules, and shows them in the API.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_dataflow::Status;
use weir_ingest::Intake;
use weir_manage::RuleRegistry;
use weir_respond::ports::{Clock, Outbox, ProgressJournal, RuleTagSource, SinkPortError};
use weir_respond::{
    RespondMetrics, Responders, SinkDeadLetter, SinkPorts, SinkPosition, SinkRequestError,
    SinkStatus, ocsf,
};
use weir_schema::outbox::{Cursor, OutboxRows};
use weir_schema::{
    AlertId, AlertRecord, Change, ChangeKind, Control, Epoch, ReceiveTime, RuleVersion,
    SinkProgress,
};
use weir_store::ledger::Ledger;
use weir_web::ports::{DeadLetter, FindingWriter, PortError, SinkInfo, Sinks};

use crate::config::{BadConfig, Config, sink_problems};
use crate::text::with_causes;

/// Most rule versions whose tags are cached; then the cache is emptied.
const TAGS_MAX: usize = 16_384;

/// Pause between two checks whether the graph has caught up.
const READY_PAUSE: Duration = Duration::from_millis(200);

/// The position of each sink, read from the journal.
#[derive(Debug, Default)]
pub struct SinkPositions(BTreeMap<String, SinkPosition>);

impl SinkPositions {
    /// Applies a control entry of the journal.
    pub fn follow(&mut self, control: &Control) {
        if let Control::Delivered(entry) = control {
            self.0.entry(entry.sink.clone()).or_default().apply(entry);
        }
    }
}

/// The parts of the server that sinks use.
pub struct SinkLinks<'l> {
    pub ledger: &'l Arc<Ledger>,
    pub intake: &'l Intake,
    pub rules: &'l Arc<RuleRegistry>,
    pub status: &'l Arc<Status>,
    /// The epoch that begins this run. Before it is applied, the ledger may lack earlier rows.
    pub begun: Epoch,
    /// Changes with each commit that adds rows to the outbox.
    pub news: watch::Receiver<u64>,
    pub registry: &'l Registry,
}

/// Starts the configured sinks.
pub fn start(
    config: &Config,
    mut positions: SinkPositions,
    links: &SinkLinks<'_>,
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
    // In a cluster only the leading process has a ledger, and runs the sinks.
    let configured: &[_] = match config.cluster.follows() {
        true => &[],
        false => &config.sink,
    };
    for sink in configured {
        let options = sink.options();
        sinks.push(options.map_err(|reason| bad(vec![format!("{}: {reason}", sink.name)]))?);
    }
    let ports = SinkPorts {
        outbox: Arc::new(ReadOutbox(Arc::clone(links.ledger))),
        progress: Arc::new(WritePositions(links.intake.clone())),
        clock: Arc::new(WallClock),
        tags: rule_tags(links.rules),
        json: weir_web::change_json_as,
        previous_epoch: links.begun,
        new_rows: links.news.clone(),
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
    let started =
        started.map_err(|(sink, error)| bad(vec![format!("{sink}: {}", with_causes(&error))]));
    Ok(Arc::new(started?))
}

/// Formats changes as OCSF findings, with the tags of their rules.
pub fn finding_writer(rules: &Arc<RuleRegistry>) -> FindingWriter {
    let tags = rule_tags(rules);
    Arc::new(move |change: &Change, kind: ChangeKind| {
        let tags = tags.tags(&change.record.rule, change.record.version);
        ocsf::finding(change, kind, &tags)
    })
}

fn port_error(error: &dyn std::error::Error) -> SinkPortError {
    SinkPortError {
        message: with_causes(error),
    }
}

/// Reads the outbox of the ledger for sinks.
struct ReadOutbox(Arc<Ledger>);

impl Outbox for ReadOutbox {
    fn after(&self, after: Cursor, limit: usize) -> Result<OutboxRows, SinkPortError> {
        let rows = self.0.outbox_rows(after, limit);
        rows.map_err(|error| port_error(&error))
    }

    fn change(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, SinkPortError> {
        let change = self.0.change(alert, revision);
        change.map_err(|error| port_error(&error))
    }

    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, SinkPortError> {
        let previous = self.0.previous_revision(alert, revision);
        previous.map_err(|error| port_error(&error))
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, SinkPortError> {
        self.0.record(alert).map_err(|error| port_error(&error))
    }

    fn records(
        &self,
        after: Option<AlertId>,
        limit: usize,
    ) -> Result<Vec<AlertRecord>, SinkPortError> {
        self.0
            .records(after, limit)
            .map_err(|error| port_error(&error))
    }
}

/// Appends the positions of sinks to the journal.
struct WritePositions(Intake);

impl ProgressJournal for WritePositions {
    fn append(&self, entry: SinkProgress) -> BoxFuture<'_, Result<(), SinkPortError>> {
        async move {
            let appended = self.0.control(vec![Control::Delivered(entry)]).await;
            appended.map(drop).map_err(|error| port_error(&error))
        }
        .boxed()
    }
}

/// Reads the system's clock for sinks.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> ReceiveTime {
        weir_ingest::ReceiveClock::now(&weir_ingest::SystemClock)
    }
}

/// The tags of rules, cached: the rules are many, and alerts come in bursts.
struct RuleTags {
    rules: Arc<RuleRegistry>,
    cached: Mutex<HashMap<(String, RuleVersion), Vec<String>>>,
}

fn rule_tags(rules: &Arc<RuleRegistry>) -> Arc<dyn RuleTagSource> {
    Arc::new(RuleTags {
        rules: Arc::clone(rules),
        cached: Mutex::default(),
    })
}

impl RuleTagSource for RuleTags {
    fn tags(&self, rule: &str, version: RuleVersion) -> Vec<String> {
        let wanted = (rule.to_owned(), version);
        // The cache is consistent even after a panic.
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tags) = cached.get(&wanted) {
            return tags.clone();
        }
        if cached.len() >= TAGS_MAX {
            cached.clear();
        }
        for rule in self.rules.rules() {
            let summary = rule.summary;
            cached.insert((summary.id.to_string(), summary.version), summary.tags);
        }
        // An unknown version has no tags; they are cached too, so it is looked up only once.
        cached.entry(wanted).or_default().clone()
    }
}

/// Sinks over the API.
pub struct ManageSinks {
    pub responders: Arc<Responders>,
    pub runtime: Handle,
}

/// The answer of a sink; `None` if there is no such sink.
fn answer<T>(answer: Result<T, SinkRequestError>) -> Result<Option<T>, PortError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(SinkRequestError::UnknownSink) => Ok(None),
        Err(SinkRequestError::NoAnswer) => Err(PortError::Unavailable(
            SinkRequestError::NoAnswer.to_string(),
        )),
    }
}

impl Sinks for ManageSinks {
    fn list(&self) -> Result<Vec<SinkInfo>, PortError> {
        let listed = self.runtime.block_on(self.responders.list());
        let info = |(name, status): (String, Option<SinkStatus>)| match status {
            Some(status) => SinkInfo {
                name,
                kind: status.kind.to_owned(),
                target: status.target,
                state: if status.stopped.is_some() {
                    "stopped"
                } else {
                    "running"
                },
                stopped: status.stopped,
                position: Some(status.read),
                waiting: status.waiting,
                waiting_since: status.oldest,
                dead: status.dead,
                last_failure: status.last_failure,
            },
            None => SinkInfo {
                name,
                state: "starting",
                ..SinkInfo::default()
            },
        };
        Ok(listed.into_iter().map(info).collect())
    }

    fn dead(&self, sink: &str) -> Result<Option<Vec<DeadLetter>>, PortError> {
        let dead = answer(self.runtime.block_on(self.responders.dead(sink)))?;
        let letter = |(alert, dead): (AlertId, SinkDeadLetter)| DeadLetter {
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
        answer(self.runtime.block_on(self.responders.resend(sink, alert)))
    }

    fn enable(&self, sink: &str) -> Result<bool, PortError> {
        let enabled = answer(self.runtime.block_on(self.responders.enable(sink)))?;
        Ok(enabled.is_some())
    }
}
