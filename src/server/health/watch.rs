//! The watch: a thread that looks at all parts every second, and reports what it finds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use weir_dataflow::{GraphThread, PortCall, ThreadReport};
use weir_ingest::{Intake, ReceiveClock, SystemClock};
use weir_manage::RuleRegistry;
use weir_respond::Responders;
use weir_schema::ConditionKind;

use super::health_metrics::HealthMetrics;
use super::lateness::{Lateness, SinkWatch, StuckSink};
use super::stalls::{PartLook, STALL_AFTER, StallWatch};
use super::{OUTAGE_MAX, ServerHealth};
use crate::config::Config;
use crate::exit::LOST;
use crate::server::conditions::ConditionReporter;
use crate::server::run_marks::RunMarks;
use crate::server::stop_guard::StopGuard;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest end of a process whose part has stalled.
const END_MAX: Duration = Duration::from_secs(10);

/// Without a look for this long, the watch itself has stalled.
const LOOK_AGE_MAX: Duration = Duration::from_secs(30);

/// The last findings of the watch. Health checks read them.
#[derive(Debug, Default)]
pub struct WatchState {
    found: Mutex<Findings>,
    /// Why the process must end: a part made no progress up to the limit.
    end: OnceLock<String>,
    stopped: AtomicBool,
}

/// The findings of one look.
#[derive(Clone, Debug, Default)]
struct Findings {
    stall: Option<String>,
    /// Reasons why the server is not ready, though it is live.
    unready: Vec<String>,
    /// When the watch looked last; `None` before its first look.
    looked: Option<Instant>,
}

impl WatchState {
    /// Why the process must end.
    #[must_use]
    pub fn end(&self) -> Option<String> {
        self.end.get().cloned()
    }

    /// Which part makes no progress; the watch is one of them.
    pub(super) fn stall(&self, now: Instant) -> Option<String> {
        let found = self.lock();
        let age = |looked: Instant| now.saturating_duration_since(looked);
        let is_blind = found
            .looked
            .is_some_and(|looked| age(looked) >= LOOK_AGE_MAX);
        let blind = || "the watch over all parts makes no progress".to_owned();
        let is_stopped = self.stopped.load(Ordering::Acquire);
        let stall = found.stall.clone();
        stall.or_else(|| (is_blind && !is_stopped).then(blind))
    }

    pub(super) fn unready(&self) -> Vec<String> {
        self.lock().unready.clone()
    }

    /// Ends the watch, because the server stops and its parts end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Findings> {
        // The value is replaced whole, so a panic elsewhere leaves nothing half-done.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watch over all parts of a server.
pub struct Watch {
    pub parts: WatchedParts,
    pub options: WatchOptions,
    pub metrics: HealthMetrics,
    pub state: WatchMemory,
}

/// The bounds of the watch.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// A part without progress for so long ends the process; `None`: never.
    pub limit: Option<Duration>,
    /// Whether other processes run parts of the graph.
    pub clustered: bool,
    /// Whether this process has the rules and journals conditions.
    pub leads: bool,
}

/// The memory of the watch from look to look.
pub struct WatchMemory {
    started: Instant,
    stalls: StallWatch,
    lateness: Lateness,
    sinks: SinkWatch,
    /// Failing parts: since when, and the last message.
    failing: BTreeMap<&'static str, (Instant, String)>,
    /// Why the server was not ready at the last look.
    unready: Option<String>,
}

/// The parts that the watch looks at, and those through which it tells.
pub struct WatchedParts {
    pub health: ServerHealth,
    pub intake: Intake,
    pub responders: Arc<Responders>,
    pub rules: Arc<RuleRegistry>,
    pub conditions: ConditionReporter,
    pub marks: Arc<RunMarks>,
}

impl Watch {
    /// Registers the metrics, and starts the thread.
    pub fn start(
        config: &Config,
        registry: &prometheus::Registry,
        parts: WatchedParts,
    ) -> anyhow::Result<()> {
        let limit = config.liveness.limit.to_std();
        let mut watch = Self {
            parts,
            options: WatchOptions {
                limit: Some(limit).filter(|limit| !limit.is_zero()),
                clustered: config.cluster.is_on(),
                leads: !config.cluster.follows(),
            },
            metrics: HealthMetrics::register(registry)?,
            state: WatchMemory {
                started: Instant::now(),
                stalls: StallWatch::default(),
                lateness: Lateness::new(config.self_alerts.alerts_late.to_std()),
                sinks: SinkWatch::default(),
                failing: BTreeMap::new(),
                unready: None,
            },
        };
        watch.look(Instant::now());
        let thread = std::thread::Builder::new().name("weir-watch".to_owned());
        thread.spawn(move || watch.run())?;
        Ok(())
    }

    fn run(mut self) {
        while !self.parts.health.watch.stopped.load(Ordering::Acquire) {
            std::thread::sleep(LOOK_EVERY);
            if self.parts.health.status.is_stopping() {
                return self.parts.health.watch.stop();
            }
            self.look(Instant::now());
        }
    }

    fn look(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.state.started);
        self.state.stalls.look(elapsed, self.parts());
        let stall = self.state.stalls.longest(STALL_AFTER);
        let stall = stall.map(|stall| stall.reason()).or_else(|| {
            let ended = self.parts.responders.has_ended();
            ended.then(|| "the thread of the sinks has ended; see the log".to_owned())
        });
        let unready = self.find_unready(now, elapsed);
        *self.parts.health.watch.lock() = Findings {
            stall,
            unready,
            looked: Some(now),
        };
        self.report_outages(now);
        self.report_readiness(now);
        self.end_if_hopeless();
    }

    /// The progress of all parts.
    fn parts(&self) -> Vec<PartLook> {
        let waiting = self.parts.intake.waiting();
        let writer = PartLook {
            part: "the journal writer".to_owned(),
            steps: self.parts.health.writes.steps(),
            // A tick is due every second.
            work: Some(format!("{waiting} submissions, and the next tick")),
        };
        let sealed = self.parts.health.journal.last_sealed().0;
        let threads = self.parts.health.status.threads(self.options.clustered);
        let threads = threads
            .into_iter()
            .map(|thread| thread_look(&thread, sealed));
        let mut looks: Vec<PartLook> = std::iter::once(writer).chain(threads).collect();
        // Sinks wait for journal and ledger, whose failures are not theirs.
        let is_blocked =
            !self.state.failing.is_empty() || self.state.stalls.longest(LOOK_EVERY * 5).is_some();
        let sinks = self.parts.responders.activity().into_iter();
        looks.extend(sinks.filter(|sink| sink.turns > 0).map(|sink| PartLook {
            part: format!("the sink `{}`", sink.sink),
            steps: sink.turns,
            work: (!is_blocked).then(|| format!("{} alerts, and its next turn", sink.waiting)),
        }));
        looks
    }

    /// Why the server is not ready though it is live; reports these conditions.
    fn find_unready(&mut self, now: Instant, elapsed: Duration) -> Vec<String> {
        let mut unready = Vec::new();
        let judged = self
            .parts
            .health
            .status
            .epoch()
            .max(self.parts.health.judged_before);
        let behind = self.parts.health.writes.behind(judged, now);
        self.metrics.behind_seconds.set(behind.as_secs_f64());
        let is_late = self.state.lateness.judge(behind);
        let details = format!("{} s behind", behind.as_secs());
        self.report_lasting(ConditionKind::AlertsLate, "", is_late, &details);
        if is_late {
            unready.push(format!("alerts are {details}"));
        }
        let has_rules = !self.options.leads || self.parts.rules.has_active_rule();
        self.report_lasting(ConditionKind::NoRuleInForce, "", !has_rules, "");
        if !has_rules {
            unready.push("no rule is in force".to_owned());
        }
        unready.extend(self.find_stuck_sinks(elapsed));
        unready
    }

    /// Reports stuck sinks. Returns those that are a reason not to be ready: a consumer that is
    /// down, slow or gone is none.
    fn find_stuck_sinks(&mut self, elapsed: Duration) -> Vec<String> {
        let activity = self.parts.responders.activity();
        let stuck = self.state.sinks.look(elapsed, SystemClock.now(), &activity);
        for found in &stuck {
            self.report_lasting(
                ConditionKind::SinkStuck,
                &found.sink,
                true,
                &found.details(),
            );
        }
        for sink in self.parts.conditions.standing(ConditionKind::SinkStuck) {
            if !stuck.iter().any(|found| found.sink == sink) {
                self.parts.conditions.end(ConditionKind::SinkStuck, &sink);
            }
        }
        let idle = stuck.iter().filter(|found| found.is_idle);
        let reason = |found: &StuckSink| {
            let (sink, waiting) = (&found.sink, found.waiting);
            format!("the sink `{sink}` delivers nothing: {waiting} alerts wait")
        };
        idle.map(reason).collect()
    }

    fn report_lasting(&self, kind: ConditionKind, subject: &str, stands: bool, details: &str) {
        if !self.options.leads {
            return;
        }
        if stands {
            self.parts.conditions.report(kind, subject, details);
        } else {
            self.parts.conditions.end(kind, subject);
        }
    }

    /// Reports failures of a part once they are over: before, no alert could be written.
    fn report_outages(&mut self, now: Instant) {
        let mut failing = BTreeMap::new();
        if let Some(outage) = self.parts.health.writes.outage() {
            failing.insert("journal", (outage.since, outage.message));
        }
        if let Some(outage) = self.parts.health.status.outage() {
            let part = match outage.call {
                PortCall::ReadEpoch | PortCall::ReadEvidence => "journal-reads",
                PortCall::WriteLedger => "ledger",
            };
            failing.insert(part, (outage.since, outage.message));
        }
        for (part, (since, message)) in std::mem::take(&mut self.state.failing) {
            let lasted = now.saturating_duration_since(since);
            if failing.contains_key(part) || lasted < OUTAGE_MAX {
                continue;
            }
            let details = format!("{part} failed for {} s: {message}", lasted.as_secs());
            self.parts
                .conditions
                .report(ConditionKind::PartFailed, part, &details);
        }
        self.state.failing = failing;
    }

    /// Sets the metrics, and logs changes of readiness.
    fn report_readiness(&mut self, now: Instant) {
        let live = self.parts.health.live_at(now);
        self.metrics.live.set(i64::from(live.is_ok()));
        let unready = self.parts.health.ready_at(now).err();
        self.metrics.ready.set(i64::from(unready.is_none()));
        match (&self.state.unready, &unready) {
            (None, Some(reason)) => match live {
                Ok(()) => tracing::warn!(reason, "not ready"),
                Err(_) => tracing::error!(reason, "not live"),
            },
            (Some(_), None) => tracing::info!("ready and live"),
            _ => {} // Nothing changed but figures.
        }
        self.state.unready = unready;
    }

    fn end_if_hopeless(&self) {
        let Some(limit) = self.options.limit else {
            return;
        };
        let stalled = self.state.stalls.longest(limit.max(STALL_AFTER));
        let ended = self.parts.responders.has_ended();
        let ended = ended.then(|| "the thread of the sinks has ended".to_owned());
        if let Some(reason) = stalled.map(|stall| stall.reason()).or(ended)
            && self.parts.health.watch.end.set(reason.clone()).is_ok()
        {
            // The main thread stops the server, unless it is the one that hangs.
            let marks = Arc::clone(&self.parts.marks);
            let last_words = move || {
                tracing::error!(reason, "the process ends, because its stop hangs");
                marks.record_failure(&reason, SystemClock.now());
            };
            // It lives as long as the process.
            std::mem::forget(StopGuard::arm(END_MAX, LOST, last_words));
        }
    }
}

fn thread_look(report: &ThreadReport, sealed: u64) -> PartLook {
    let (part, work) = match report.thread {
        GraphThread::Feeder => {
            let unread = sealed.saturating_sub(report.epoch);
            let work = format!("{unread} epochs of the journal");
            ("the reading of the journal".to_owned(), work)
        }
        GraphThread::Worker(index) => {
            let backlog = report.backlog.unwrap_or(0);
            (
                format!("worker {index} of the graph"),
                format!("{backlog} epochs"),
            )
        }
        GraphThread::Committer => {
            let backlog = report.backlog.unwrap_or(0);
            (
                "the committer to the ledger".to_owned(),
                format!("{backlog} epochs"),
            )
        }
    };
    PartLook {
        part,
        steps: report.steps,
        work: report.backlog.map(|_| work),
    }
}
