//! The budget of rules: measures what each takes of the graph, and suspends those that stall all.
//!
//! ```text
//!  workers ─ times of rules ─► observer ─► shares, 30 s ─┬─► API, metrics
//!                                                        └─► judge, 1 s ─┬─► conditions (alerts)
//!  lateness, replay ─────────────────────────────────────────────────────┴─► journaled suspension
//! ```

mod budget_metrics;
mod judge;
mod shares;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_dataflow::Status;
use weir_ingest::ReceiveClock;
use weir_manage::{ControlJournal, GraphProgress, RuleRegistry, RuleSuspension};
use weir_schema::{ConditionKind, Epoch, RuleId, RuleTimes, Stopwatch};

use crate::config::{Config, RulesConfig};
use crate::server::conditions::ConditionReporter;
use budget_metrics::BudgetMetrics;
use judge::{BudgetBounds, BudgetJudge, BudgetLook, HeavyRule};
use shares::RuleShares;

/// Pause between two judgements.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// The stopwatch that operators are lent.
pub fn stopwatch() -> Stopwatch {
    static STARTED: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    Stopwatch(|| u64::try_from(STARTED.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The shares of all rules. Clones share their state.
#[derive(Clone)]
pub struct RuleBudget(Arc<BudgetState>);

struct BudgetState {
    shares: Mutex<RuleShares>,
    metrics: Mutex<BudgetMetrics>,
    started: Instant,
}

impl RuleBudget {
    /// Registers the metrics.
    pub fn register(
        config: &Config,
        registry: &prometheus::Registry,
    ) -> Result<Self, prometheus::Error> {
        let (workers, window) = (config.graph.workers, config.rules.share_window.to_std());
        Ok(Self(Arc::new(BudgetState {
            shares: Mutex::new(RuleShares::new(workers, window)),
            metrics: Mutex::new(BudgetMetrics::register(registry, workers)?),
            started: Instant::now(),
        })))
    }

    /// Adds the times that a worker reported.
    pub fn record(&self, times: &RuleTimes) {
        let now = self.0.started.elapsed();
        self.lock().record(now, times);
        self.lock_metrics().record(times);
    }

    /// Adds events that the graph has judged.
    pub fn record_events(&self, events: u64) {
        let now = self.0.started.elapsed();
        self.lock().record_events(now, events);
    }

    fn wall_time_per_event(&self) -> f64 {
        let now = self.0.started.elapsed();
        self.lock().wall_time_per_event(now)
    }

    /// The share of each rule of the workers' time over the last window, between 0 and 1.
    pub fn shares(&self) -> BTreeMap<RuleId, f64> {
        let now = self.0.started.elapsed();
        self.lock().shares(now)
    }

    // Both are sums of figures: a panic elsewhere costs one of them at most.
    fn lock(&self) -> MutexGuard<'_, RuleShares> {
        let shares = self.0.shares.lock();
        shares.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_metrics(&self) -> MutexGuard<'_, BudgetMetrics> {
        let metrics = self.0.metrics.lock();
        metrics.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges the rules of a running server every second, until it stops.
pub struct BudgetKeeper {
    pub budget: RuleBudget,
    pub status: Arc<Status>,
    pub registry: Arc<RuleRegistry>,
    pub journal: Arc<dyn ControlJournal>,
    pub graph: Arc<dyn GraphProgress>,
    pub conditions: ConditionReporter,
    pub clock: Arc<dyn ReceiveClock>,
    /// The epoch that begins this run.
    pub begun: Epoch,
}

impl BudgetKeeper {
    pub async fn keep(self, rules: RulesConfig) {
        let mut judge = BudgetJudge::new(BudgetBounds {
            share_max: rules.share_max,
            suspend_share: rules.suspend_share,
            suspend_speed: rules.suspend_speed as f64,
            window: rules.share_window.to_std(),
        });
        while !self.status.is_stopping() {
            actix_rt::time::sleep(JUDGE_EVERY).await;
            let shares = self.budget.shares();
            let late = self.conditions.standing(ConditionKind::AlertsLate);
            let verdict = judge.judge(BudgetLook {
                now: self.budget.0.started.elapsed(),
                shares: &shares,
                wall_time_per_event: self.budget.wall_time_per_event(),
                is_late: !late.is_empty(),
                is_replaying: self.status.epoch() < self.begun,
            });
            self.report_over(&verdict.over, &verdict.over_no_more);
            for heavy in &verdict.suspend {
                self.suspend(heavy, verdict.together).await;
            }
            self.end_lifted();
        }
    }

    fn report_over(&self, over: &[HeavyRule], ended: &[RuleId]) {
        let kind = ConditionKind::RuleOverBudget;
        for HeavyRule { rule, share } in over {
            let details = format!("{} % of the workers' time", percent(*share));
            self.conditions.report(kind, rule, &details);
        }
        for rule in ended {
            self.conditions.end(kind, rule);
        }
    }

    /// Journals the suspension of a rule, which is too heavy alone or with others `together`.
    async fn suspend(&self, heavy: &HeavyRule, together: Option<f64>) {
        let HeavyRule { rule, share } = heavy;
        let lock = self.registry.lock_for_edit().await;
        let now = self.clock.now();
        let share_permille = (share * 1_000.0).round() as u32;
        let Some(entry) = self
            .registry
            .suspend(rule, share_permille, now, &*self.graph)
        else {
            return; // A person has stopped it meanwhile.
        };
        match lock.write(&*self.journal, vec![entry]).await {
            Ok(()) => {
                tracing::error!(
                    %rule, share_percent = percent(*share),
                    "rule suspended: alone or with others it took most of the workers' time while \
                     alerts were late; change it, or start it again with `weir rules enable`"
                );
                let together = together
                    .map(|all| format!(", of {} % that heavy rules took together,", percent(all)));
                let details = format!(
                    "{} % of the workers' time{} while alerts were late",
                    percent(*share),
                    together.unwrap_or_default()
                );
                let kind = ConditionKind::RuleSuspended;
                self.conditions.report(kind, rule, &details);
            }
            Err(error) => {
                tracing::error!(%rule, %error, "cannot journal the suspension of a rule");
            }
        }
    }

    /// Ends the conditions of rules that a person started again or removed.
    fn end_lifted(&self) {
        let kind = ConditionKind::RuleSuspended;
        let suspended = self.registry.suspended();
        for rule in self.conditions.standing(kind) {
            if !suspended.contains(rule.as_str()) {
                self.conditions.end(kind, &rule);
            }
        }
        self.budget.lock_metrics().set_suspended(&suspended);
    }
}

/// A share as whole percents.
fn percent(share: f64) -> u32 {
    (share * 100.0).round() as u32
}

/// Why a rule is suspended, for people.
pub fn suspension_reason(suspension: &RuleSuspension) -> String {
    format!(
        "took {} % of the workers' time while alerts were late",
        suspension.share_permille.div_ceil(10)
    )
}
