//! What the graph's epochs come to, as metrics. Labels come from closed sets only.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use weir_dataflow::{Clock, EpochReport, Note};
use weir_operators::{Trouble, Troubles};
use weir_schema::{Cause, ChangeKind, Level, Problem, ReceiveTime, RuleId};

/// Rules with a row of their own, the first that speak; the others share `other`.
const RULES_LABELLED_MAX: usize = 256;

/// A rule of a longer id is among the others.
const RULE_BYTES_MAX: usize = 128;

const OTHER: &str = "other";

const LEVELS: [Level; 5] = [
    Level::Informational,
    Level::Low,
    Level::Medium,
    Level::High,
    Level::Critical,
];

/// The counters of the graph.
#[derive(Clone)]
pub struct GraphMetrics {
    /// `weir_events_decoded_total`: frames that went through the graph.
    decoded: IntCounter,
    /// `weir_parse_failures_total{problem}`: problems found in frames; the frames are kept.
    problems: IntCounterVec,
    /// `weir_rule_matches_total`: events that a rule matched, once a rule.
    matches: IntCounter,
    /// `weir_facts_total`: matches that went into a correlation.
    facts: IntCounter,
    /// `weir_facts_valueless_total`: matches without the value that their rule computes with.
    valueless: IntCounter,
    /// `weir_facts_ungrouped_total`: matches without a group, since a group-by field was missing.
    ungrouped: IntCounter,
    /// `weir_facts_late_total`: facts behind the watermark, which corrected what was said.
    late: IntCounter,
    /// `weir_facts_not_re_evaluated_total`: facts behind the settled line.
    not_re_evaluated: IntCounter,
    /// `weir_facts_limited_total`: facts refused since their rule has too many groups.
    limited: IntCounter,
    /// `weir_rules_incomplete`: rules that have refused groups since the start.
    incomplete: IntGauge,
    /// `weir_rule_load_errors_total`: rule entries that were refused or warned of.
    rule_errors: IntCounter,
    /// `weir_alerts_total{change,severity}`: changes said.
    alerts: IntCounterVec,
    /// `weir_epoch`: the last epoch whose results are in the ledger.
    epoch: IntGauge,
    /// `weir_watermark_seconds`: the least watermark of all tenants, since 1970.
    watermark: IntGauge,
    /// `weir_sources_not_holding{reason}`: sources that do not hold their tenant's watermark, since they
    /// are `idle` or `lagging`.
    not_holding: IntGaugeVec,
    /// `weir_correlation_groups`, `weir_correlation_bytes`: state held for correlation.
    groups: IntGauge,
    group_bytes: IntGauge,
    /// `weir_commit_faults_total`: commits to the ledger that failed and were tried again.
    faults: IntCounter,
    /// `weir_sources_alerting{trouble}`: sources of which an alert stands.
    troubled: IntGaugeVec,
    /// `weir_source_batches_unwatched_total`: batches of sources past the limit of their tenant.
    unwatched: IntCounter,
    /// `weir_rule_changes_total{rule}`: changes of alerts, by rule.
    rules: IntCounterVec,
    rules_known: Arc<Mutex<HashSet<RuleId>>>,
    /// `weir_event_to_alert_seconds`: from the receipt of the event behind a raise to its commit.
    event_to_alert: Histogram,
}

impl GraphMetrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let vector = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vector.clone()))?;
            Ok::<_, prometheus::Error>(vector)
        };
        let not_holding = IntGaugeVec::new(
            Opts::new(
                "weir_sources_not_holding",
                "Sources that do not hold their tenant's watermark.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(not_holding.clone()))?;
        let build = gauge("weir_build_info", "One, for the binary that runs.")?;
        build.set(1);
        let latency = HistogramOpts::new(
            "weir_event_to_alert_seconds",
            "From the receipt of the event behind a raised alert to its commit.",
        );
        // From a millisecond to a minute.
        let latency = latency.buckets(prometheus::exponential_buckets(0.001, 2.0, 17)?);
        let event_to_alert = Histogram::with_opts(latency)?;
        registry.register(Box::new(event_to_alert.clone()))?;
        let troubled = IntGaugeVec::new(
            Opts::new(
                "weir_sources_alerting",
                "Sources of which an alert of Weir's own stands.",
            ),
            &["trouble"],
        )?;
        registry.register(Box::new(troubled.clone()))?;
        let metrics = Self {
            troubled,
            unwatched: counter(
                "weir_source_batches_unwatched_total",
                "Batches of sources past the limit of their tenant, of which no alert is raised.",
            )?,
            rules: vector(
                "weir_rule_changes_total",
                "Changes of alerts said, by rule.",
                &["rule"],
            )?,
            rules_known: Arc::default(),
            decoded: counter(
                "weir_events_decoded_total",
                "Frames that went through the graph.",
            )?,
            problems: vector(
                "weir_parse_failures_total",
                "Problems found in frames; the frames are kept.",
                &["problem"],
            )?,
            matches: counter("weir_rule_matches_total", "Events matched, once a rule.")?,
            facts: counter("weir_facts_total", "Matches that went into a correlation.")?,
            ungrouped: counter(
                "weir_facts_ungrouped_total",
                "Matches without a group, since a group-by field was missing.",
            )?,
            valueless: counter(
                "weir_facts_valueless_total",
                "Matches without the value, or the number, that their rule computes with.",
            )?,
            late: counter("weir_facts_late_total", "Facts behind the watermark.")?,
            not_re_evaluated: counter(
                "weir_facts_not_re_evaluated_total",
                "Facts behind the settled line: recorded, without effect.",
            )?,
            limited: counter(
                "weir_facts_limited_total",
                "Facts refused since their rule has too many groups.",
            )?,
            incomplete: gauge(
                "weir_rules_incomplete",
                "Rules that have refused groups, so that they do not say all that they should.",
            )?,
            rule_errors: counter(
                "weir_rule_load_errors_total",
                "Rule entries that were refused or warned of.",
            )?,
            alerts: vector(
                "weir_alerts_total",
                "Changes of alerts said.",
                &["change", "severity"],
            )?,
            epoch: gauge(
                "weir_epoch",
                "The last epoch whose results are in the ledger.",
            )?,
            watermark: gauge(
                "weir_watermark_seconds",
                "The least watermark of all tenants, in seconds since 1970.",
            )?,
            groups: gauge("weir_correlation_groups", "Groups held for correlation.")?,
            group_bytes: gauge("weir_correlation_bytes", "Bytes held for correlation.")?,
            faults: counter(
                "weir_commit_faults_total",
                "Commits that failed and were tried again.",
            )?,
            not_holding,
            event_to_alert,
        };
        metrics.show_all();
        Ok(metrics)
    }

    /// Counts an epoch.
    pub fn epoch(&self, report: &EpochReport<'_>) {
        for note in report.notes {
            match note {
                Note::Batch(batch) => {
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
                Note::Diagnostic(_) => self.rule_errors.inc(),
                Note::Sources(troubles) => self.troubles(troubles),
                Note::Match(..) | Note::Event(..) | Note::Problem(..) => {}
            }
        }
        self.late.inc_by(report.counts.late);
        self.not_re_evaluated.inc_by(report.counts.not_re_evaluated);
        self.limited.inc_by(report.counts.limited);
        self.epoch
            .set(i64::try_from(report.epoch.0).unwrap_or(i64::MAX));
        if let Some((groups, bytes)) = report.state {
            self.groups.set(i64::try_from(groups).unwrap_or(i64::MAX));
            self.group_bytes
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        for change in report.commit.iter().flat_map(|commit| &commit.changes) {
            let labels = [change.kind.name(), change.record.level.name()];
            self.alerts.with_label_values(&labels).inc();
            self.rule(&change.record.rule).inc();
        }
    }

    /// How many rules do not say all that they should.
    pub fn incomplete(&self, rules: usize) {
        self.incomplete
            .set(i64::try_from(rules).unwrap_or(i64::MAX));
    }

    fn troubles(&self, troubles: &Troubles) {
        for (trouble, count) in Trouble::ALL.iter().zip(troubles.standing) {
            let gauge = self.troubled.with_label_values(&[trouble.name()]);
            gauge.set(i64::from(count));
        }
        self.unwatched.inc_by(troubles.unwatched);
    }

    /// The counter of a rule; the first that speak have one of their own.
    fn rule(&self, rule: &RuleId) -> IntCounter {
        // What it guards is replaced whole, so a panic elsewhere leaves nothing half-done.
        let mut known = self
            .rules_known
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let room = known.len() < RULES_LABELLED_MAX && rule.len() <= RULE_BYTES_MAX;
        if room && !known.contains(rule) {
            known.insert(RuleId::clone(rule));
        }
        let label = if known.contains(rule) { rule } else { OTHER };
        self.rules.with_label_values(&[label])
    }

    /// Makes every row there can be, so that rules and dashboards find them before they count.
    fn show_all(&self) {
        for problem in Problem::ALL {
            let _ = self.problems.with_label_values(&[problem.name()]);
        }
        for kind in [
            ChangeKind::Raised,
            ChangeKind::Revised,
            ChangeKind::Retracted,
        ] {
            for level in LEVELS {
                let labels = [kind.name(), level.name()];
                let _ = self.alerts.with_label_values(&labels);
            }
        }
        for reason in ["idle", "lagging"] {
            let _ = self.not_holding.with_label_values(&[reason]);
        }
        self.troubles(&Troubles::default());
        let _ = self.rules.with_label_values(&[OTHER]);
    }

    /// Shows where all tenants stand.
    pub fn clocks<'c>(&self, clocks: impl Iterator<Item = &'c Clock> + Clone) {
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

    pub fn fault(&self) {
        self.faults.inc();
    }

    /// Notes how long an alert took that was raised by the event received at `received`.
    pub fn latency(&self, received: ReceiveTime, now: ReceiveTime) {
        let seconds = now.0.saturating_sub(received.0) as f64 / 1e9;
        self.event_to_alert.observe(seconds.max(0.0));
    }
}

/// Whether the time of a change says how fast we were: it was raised by an event.
pub fn is_timed(change: &weir_schema::Change) -> bool {
    change.kind == ChangeKind::Raised && matches!(change.record.cause, Cause::Event(_))
}
