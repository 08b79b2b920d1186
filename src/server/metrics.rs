//! Metrics of the graph, counted epoch by epoch. Labels come from closed sets only.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use weir_dataflow::{BatchNote, EpochReport, Note, TenantClock};
use weir_operators::{SourceProblem, SourceProblemCounts};
use weir_schema::{Cause, ChangeKind, Level, Problem, ReceiveTime, RuleId};

/// Most rules with a label of their own, the first to change an alert. Others share `other`.
pub const RULES_LABELLED_MAX: usize = 256;

/// Longest rule id that becomes a label.
pub const RULE_BYTES_MAX: usize = 128;

/// Label that all other rules share.
pub const OTHER: &str = "other";

const LEVELS: [Level; 5] = [
    Level::Informational,
    Level::Low,
    Level::Medium,
    Level::High,
    Level::Critical,
];

/// The metrics of the graph.
#[derive(Clone)]
pub struct GraphMetrics {
    events: EventMetrics,
    correlations: CorrelationMetrics,
    alerts: AlertMetrics,
    sources: SourceGauges,
}

impl GraphMetrics {
    /// Registers all metrics, and creates every row, so that alerting rules and dashboards find
    /// rows that count 0.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Registrar(registry);
        let build = register.gauge("weir_build_info", "One, for the binary that runs.")?;
        build.set(1);
        Ok(Self {
            events: EventMetrics::register(&register)?,
            correlations: CorrelationMetrics::register(&register)?,
            alerts: AlertMetrics::register(&register)?,
            sources: SourceGauges::register(&register)?,
        })
    }

    /// Counts an epoch.
    pub fn epoch(&self, report: &EpochReport<'_>) {
        for note in report.notes {
            match note {
                Note::Batch(batch) => self.events.batch(batch),
                Note::Diagnostic(_) => self.alerts.rule_errors.inc(),
                Note::Sources(counts) => self.sources.problems(counts),
                Note::Match(..)
                | Note::Event(..)
                | Note::Problem(..)
                | Note::Times(_)
                | Note::Marked(..) => {}
            }
        }
        self.correlations.epoch(report);
        self.alerts.epoch(report);
    }

    /// Sets the number of rules whose results are incomplete.
    pub fn incomplete(&self, rules: usize) {
        self.correlations.incomplete.set(gauge_value(rules));
    }

    /// Sets the watermark and the idle and lagging sources of all tenants.
    pub fn clocks<'c>(&self, clocks: impl Iterator<Item = &'c TenantClock> + Clone) {
        self.sources.clocks(clocks);
    }

    /// Counts a commit that failed.
    pub fn fault(&self) {
        self.alerts.faults.inc();
    }

    /// Observes the latency of an alert that an event received at `received` raised.
    pub fn latency(&self, received: ReceiveTime, now: ReceiveTime) {
        let seconds = now.0.saturating_sub(received.0) as f64 / 1e9;
        self.alerts.event_to_alert.observe(seconds.max(0.0));
    }
}

/// Creates metrics, and registers each at once.
struct Registrar<'r>(&'r Registry);

impl Registrar<'_> {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }
}

/// Metrics of decoded events and of the rules that match them.
#[derive(Clone)]
struct EventMetrics {
    /// `weir_events_decoded_total`: frames that the graph decoded.
    decoded: IntCounter,
    /// `weir_parse_failures_total{problem}`: problems found in frames; the frames are stored.
    problems: IntCounterVec,
    /// `weir_rule_matches_total`: events that matched a rule, counted once per rule.
    matches: IntCounter,
    /// `weir_facts_total`: events that entered a group of a correlation.
    facts: IntCounter,
    /// `weir_facts_valueless_total`: matches without the value that their rule aggregates.
    valueless: IntCounter,
    /// `weir_facts_ungrouped_total`: matches without a group, because a group-by field is missing.
    ungrouped: IntCounter,
}

impl EventMetrics {
    fn register(register: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            decoded: register.counter(
                "weir_events_decoded_total",
                "Frames that the graph decoded.",
            )?,
            problems: register.counters(
                "weir_parse_failures_total",
                "Problems found in frames; the frames are stored.",
                &["problem"],
            )?,
            matches: register.counter(
                "weir_rule_matches_total",
                "Events that matched a rule, counted once per rule.",
            )?,
            facts: register.counter("weir_facts_total", "Matches that entered a correlation.")?,
            valueless: register.counter(
                "weir_facts_valueless_total",
                "Matches without the value, or the number, that their rule aggregates.",
            )?,
            ungrouped: register.counter(
                "weir_facts_ungrouped_total",
                "Matches without a group, because a group-by field is missing.",
            )?,
        };
        for problem in Problem::ALL {
            let _ = metrics.problems.with_label_values(&[problem.name()]);
        }
        Ok(metrics)
    }

    fn batch(&self, batch: &BatchNote) {
        self.decoded.inc_by(batch.events);
        self.matches.inc_by(batch.matches);
        self.facts.inc_by(batch.facts);
        self.ungrouped.inc_by(batch.ungrouped);
        self.valueless.inc_by(batch.valueless);
        for (problem, count) in Problem::ALL.iter().zip(batch.problems) {
            if count > 0 {
                let label = [problem.name()];
                self.problems.with_label_values(&label).inc_by(count);
            }
        }
    }
}

/// Metrics of correlations: facts that arrive late or beyond a limit, and the state.
#[derive(Clone)]
struct CorrelationMetrics {
    /// `weir_facts_late_total`: facts behind the watermark, which may correct earlier results.
    late: IntCounter,
    /// `weir_facts_not_re_evaluated_total`: facts behind the settled line, which change nothing.
    not_re_evaluated: IntCounter,
    /// `weir_facts_beyond_horizon_total`: facts behind the settled line that raise at their receipt.
    beyond_horizon: IntCounter,
    /// `weir_facts_limited_total`: facts dropped because their rule reached its group limit.
    limited: IntCounter,
    /// `weir_rules_incomplete`: rules that reached their group limit since the start.
    incomplete: IntGauge,
    /// `weir_correlation_groups`: groups in the state of correlations.
    groups: IntGauge,
    /// `weir_correlation_bytes`: bytes in the state of correlations.
    group_bytes: IntGauge,
}

impl CorrelationMetrics {
    fn register(register: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            late: register.counter("weir_facts_late_total", "Facts behind the watermark.")?,
            not_re_evaluated: register.counter(
                "weir_facts_not_re_evaluated_total",
                "Facts behind the settled line: recorded, without effect.",
            )?,
            beyond_horizon: register.counter(
                "weir_facts_beyond_horizon_total",
                "Facts behind the settled line of rules that are no correlation.",
            )?,
            limited: register.counter(
                "weir_facts_limited_total",
                "Facts dropped because their rule reached its group limit.",
            )?,
            incomplete: register.gauge(
                "weir_rules_incomplete",
                "Rules that reached their group limit; their results are incomplete.",
            )?,
            groups: register.gauge(
                "weir_correlation_groups",
                "Groups in the state of correlations.",
            )?,
            group_bytes: register.gauge(
                "weir_correlation_bytes",
                "Bytes in the state of correlations.",
            )?,
        })
    }

    fn epoch(&self, report: &EpochReport<'_>) {
        self.late.inc_by(report.counts.late);
        self.not_re_evaluated.inc_by(report.counts.not_re_evaluated);
        self.beyond_horizon.inc_by(report.counts.beyond_horizon);
        self.limited.inc_by(report.counts.limited);
        if let Some((groups, bytes)) = report.state {
            self.groups.set(gauge_value(groups));
            self.group_bytes.set(gauge_value(bytes));
        }
    }
}

/// Metrics of rules and alerts, and of the commits that store them.
#[derive(Clone)]
struct AlertMetrics {
    /// `weir_rule_load_errors_total`: rule entries with a diagnostic.
    rule_errors: IntCounter,
    /// `weir_alerts_total{change,severity}`: changes of alerts.
    changes: IntCounterVec,
    /// `weir_rule_changes_total{rule}`: changes of alerts by rule.
    rules: IntCounterVec,
    labelled_rules: Arc<Mutex<HashSet<RuleId>>>,
    /// `weir_event_to_alert_seconds`: time from the receipt of an event to the commit of the alert
    /// that it raised.
    event_to_alert: Histogram,
    /// `weir_epoch`: the last epoch whose results are in the ledger.
    epoch: IntGauge,
    /// `weir_commit_faults_total`: commits to the ledger that failed and were retried.
    faults: IntCounter,
}

impl AlertMetrics {
    fn register(register: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let latency = HistogramOpts::new(
            "weir_event_to_alert_seconds",
            "Time from the receipt of an event to the commit of the alert that it raised.",
        );
        // From a millisecond to a minute.
        let latency = latency.buckets(prometheus::exponential_buckets(0.001, 2.0, 17)?);
        let event_to_alert = Histogram::with_opts(latency)?;
        register.0.register(Box::new(event_to_alert.clone()))?;
        let metrics = Self {
            rule_errors: register.counter(
                "weir_rule_load_errors_total",
                "Rule entries with a diagnostic.",
            )?,
            changes: register.counters(
                "weir_alerts_total",
                "Changes of alerts.",
                &["change", "severity"],
            )?,
            rules: register.counters(
                "weir_rule_changes_total",
                "Changes of alerts by rule.",
                &["rule"],
            )?,
            labelled_rules: Arc::default(),
            event_to_alert,
            epoch: register.gauge(
                "weir_epoch",
                "The last epoch whose results are in the ledger.",
            )?,
            faults: register.counter(
                "weir_commit_faults_total",
                "Commits that failed and were retried.",
            )?,
        };
        metrics.create_rows();
        Ok(metrics)
    }

    fn create_rows(&self) {
        for kind in [
            ChangeKind::Raised,
            ChangeKind::Revised,
            ChangeKind::Retracted,
        ] {
            for level in LEVELS {
                let labels = [kind.name(), level.name()];
                let _ = self.changes.with_label_values(&labels);
            }
        }
        let _ = self.rules.with_label_values(&[OTHER]);
    }

    fn epoch(&self, report: &EpochReport<'_>) {
        self.epoch
            .set(i64::try_from(report.epoch.0).unwrap_or(i64::MAX));
        for change in report.commit.iter().flat_map(|commit| &commit.changes) {
            let labels = [change.kind.name(), change.record.level.name()];
            self.changes.with_label_values(&labels).inc();
            self.rule(&change.record.rule).inc();
        }
    }

    /// The counter of a rule, or the shared one.
    fn rule(&self, rule: &RuleId) -> IntCounter {
        // The set is consistent even after a panic: it gains whole rules.
        let mut known = self
            .labelled_rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let room = known.len() < RULES_LABELLED_MAX && rule.len() <= RULE_BYTES_MAX;
        if room && !known.contains(rule) {
            known.insert(RuleId::clone(rule));
        }
        let label = if known.contains(rule) { rule } else { OTHER };
        self.rules.with_label_values(&[label])
    }
}

/// Metrics of sources: whether they hold the watermark, and whether an alert stands for them.
#[derive(Clone)]
struct SourceGauges {
    /// `weir_watermark_seconds`: the least watermark of all tenants, in seconds since 1970.
    watermark: IntGauge,
    /// `weir_sources_not_holding{reason}`: sources that do not hold their tenant's watermark,
    /// because they are `idle` or `lagging`.
    not_holding: IntGaugeVec,
    /// `weir_sources_alerting{trouble}`: sources with a standing alert.
    alerting: IntGaugeVec,
    /// `weir_source_batches_unwatched_total`: batches of sources beyond their tenant's limit.
    unwatched: IntCounter,
}

impl SourceGauges {
    fn register(register: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            watermark: register.gauge(
                "weir_watermark_seconds",
                "The least watermark of all tenants, in seconds since 1970.",
            )?,
            not_holding: register.gauges(
                "weir_sources_not_holding",
                "Sources that do not hold their tenant's watermark.",
                &["reason"],
            )?,
            alerting: register.gauges(
                "weir_sources_alerting",
                "Sources with a standing alert of Weir's own.",
                &["trouble"],
            )?,
            unwatched: register.counter(
                "weir_source_batches_unwatched_total",
                "Batches of sources beyond their tenant's limit, for which no alert is raised.",
            )?,
        };
        for reason in ["idle", "lagging"] {
            let _ = metrics.not_holding.with_label_values(&[reason]);
        }
        metrics.problems(&SourceProblemCounts::default());
        Ok(metrics)
    }

    fn problems(&self, counts: &SourceProblemCounts) {
        for (problem, count) in SourceProblem::ALL.iter().zip(counts.standing) {
            let gauge = self.alerting.with_label_values(&[problem.name()]);
            gauge.set(i64::from(count));
        }
        self.unwatched.inc_by(counts.unwatched);
    }

    fn clocks<'c>(&self, clocks: impl Iterator<Item = &'c TenantClock> + Clone) {
        if let Some(least) = clocks.clone().map(|clock| clock.watermark).min() {
            self.watermark.set(least.0 / 1_000_000_000);
        }
        let idle: i64 = clocks.clone().map(|clock| i64::from(clock.idle)).sum();
        let lagging: i64 = clocks.map(|clock| i64::from(clock.lagging)).sum();
        self.not_holding.with_label_values(&["idle"]).set(idle);
        self.not_holding
            .with_label_values(&["lagging"])
            .set(lagging);
    }
}

/// A count as the value of a gauge.
fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether the latency of a change is observed: an event raised it.
pub fn is_timed(change: &weir_schema::Change) -> bool {
    change.kind == ChangeKind::Raised && matches!(change.record.cause, Cause::Event(_))
}
