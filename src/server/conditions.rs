//! Journals conditions of Weir itself, so that the graph raises alerts about them.
//!
//! Any part of the server reports to [`ConditionReporter`], as often as it likes. A task journals
//! the changes; while the journal takes nothing, they wait here, at most one for each subject.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use weir_ingest::{Intake, ReceiveClock};
use weir_schema::condition::CONDITION_SUBJECTS_MAX;
use weir_schema::{Condition, ConditionKind, Control, ReceiveTime};

/// Shortest pause between two entries about one subject, unless the condition begins or ends.
const REVISE_EVERY: Duration = Duration::from_secs(60);

/// Pause before the journal is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Reports conditions. Clones share their state.
#[derive(Clone, Default)]
pub struct ConditionReporter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<ConditionTable>,
    changed: Notify,
    /// Notifies after each write.
    written: Notify,
}

/// The standing conditions that the journal holds, read at a start.
#[derive(Debug, Default)]
pub struct JournaledConditions(BTreeMap<(ConditionKind, String), String>);

impl JournaledConditions {
    /// Applies a control entry of the journal.
    pub fn follow(&mut self, control: &Control) {
        let Control::Condition(condition) = control else {
            return;
        };
        let key = (condition.kind, condition.subject.clone());
        if condition.standing && !condition.kind.is_momentary() {
            self.0.insert(key, condition.details.clone());
        } else {
            self.0.remove(&key);
        }
    }
}

impl ConditionReporter {
    /// A reporter that knows which conditions stand from earlier runs.
    #[must_use]
    pub fn new(journaled: JournaledConditions) -> Self {
        let reporter = Self::default();
        reporter.lock().resume(journaled);
        reporter
    }

    /// Reports that a condition stands; a momentary one, that it occurred.
    ///
    /// `subject` names the rule, sink or part; it is empty where there is only one. Repeated
    /// reports cost nothing: other `details` are journaled at most once a minute.
    pub fn report(&self, kind: ConditionKind, subject: &str, details: &str) {
        self.report_quoting(kind, subject, details, "");
    }

    /// As [`ConditionReporter::report`], with text of events behind the details. The log must not
    /// have that, and does not.
    pub fn report_quoting(&self, kind: ConditionKind, subject: &str, details: &str, quote: &str) {
        let all = format!("{details}{quote}");
        let begun = self.lock().report(kind, subject, &all, Instant::now());
        if begun {
            tracing::warn!(rule = kind.rule(), subject, details, "{}", kind.title());
        }
        self.0.changed.notify_one();
    }

    /// Reports that a condition does not stand. Has no effect if it did not.
    pub fn end(&self, kind: ConditionKind, subject: &str) {
        if self.lock().end(kind, subject) {
            tracing::info!(rule = kind.rule(), subject, "over: {}", kind.title());
            self.0.changed.notify_one();
        }
    }

    /// The subjects of the standing conditions of a kind, those of earlier runs included.
    #[must_use]
    pub fn standing(&self, kind: ConditionKind) -> Vec<String> {
        self.lock().standing(kind)
    }

    /// Resolves once everything that was reported is journaled.
    pub async fn written(&self) {
        loop {
            let written = self.0.written.notified();
            if self.lock().due(ReceiveTime(0)).is_empty() {
                return;
            }
            written.await;
        }
    }

    /// Journals changes until the journal is closed.
    pub async fn journal(self, intake: Intake, clock: Arc<dyn ReceiveClock>) {
        loop {
            self.0.changed.notified().await;
            loop {
                let due = self.lock().due(clock.now());
                if due.is_empty() {
                    break;
                }
                let controls = due.iter().cloned().map(Control::Condition).collect();
                match intake.control(controls).await {
                    Ok(_) => {
                        self.lock().journaled(&due, Instant::now());
                        self.0.written.notify_waiters();
                    }
                    Err(weir_ingest::SubmitError::Stopped) => return,
                    Err(_) => actix_rt::time::sleep(RETRY).await,
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConditionTable> {
        // Its entries are replaced whole, so a panic elsewhere leaves nothing half-done.
        let table = self.0.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The conditions as reported and as journaled. Pure.
#[derive(Debug, Default)]
struct ConditionTable(BTreeMap<(ConditionKind, String), Report>);

#[derive(Clone, Debug)]
struct Report {
    details: String,
    standing: bool,
    /// Whether the journal lacks this report.
    pending: bool,
    /// The last entry of this run.
    journaled: Option<Instant>,
}

impl ConditionTable {
    fn resume(&mut self, journaled: JournaledConditions) {
        for (key, details) in journaled.0 {
            let report = Report {
                details,
                standing: true,
                pending: false,
                journaled: None,
            };
            self.0.insert(key, report);
        }
    }

    /// Returns whether the condition begins.
    fn report(&mut self, kind: ConditionKind, subject: &str, details: &str, now: Instant) -> bool {
        let key = (kind, subject.to_owned());
        if let Some(known) = self.0.get_mut(&key) {
            let begins = !known.standing;
            let pause = |last: Instant| now.saturating_duration_since(last) >= REVISE_EVERY;
            let due = known.journaled.is_none_or(pause);
            let changed = kind.is_momentary() || known.details != details;
            known.standing = true;
            known.pending |= begins || (changed && due);
            if known.pending {
                details.clone_into(&mut known.details);
            }
            return begins || (kind.is_momentary() && known.pending);
        }
        if self.of_kind(kind) >= CONDITION_SUBJECTS_MAX {
            // The graph follows no more subjects either; the log has each.
            return true;
        }
        let report = Report {
            details: details.to_owned(),
            standing: true,
            pending: true,
            journaled: None,
        };
        self.0.insert(key, report);
        true
    }

    /// Returns whether the condition ends.
    fn end(&mut self, kind: ConditionKind, subject: &str) -> bool {
        let known = self.0.get_mut(&(kind, subject.to_owned()));
        let Some(known) = known.filter(|known| known.standing) else {
            return false;
        };
        known.standing = false;
        known.pending = true;
        true
    }

    fn of_kind(&self, kind: ConditionKind) -> usize {
        self.0.keys().filter(|(known, _)| *known == kind).count()
    }

    fn standing(&self, kind: ConditionKind) -> Vec<String> {
        let standing = self.0.iter().filter(|(_, report)| report.standing);
        let subjects = standing.filter(|((known, _), _)| *known == kind);
        subjects.map(|((_, subject), _)| subject.clone()).collect()
    }

    /// The entries that the journal lacks.
    fn due(&self, now: ReceiveTime) -> Vec<Condition> {
        let pending = self.0.iter().filter(|(_, report)| report.pending);
        let entries = pending.map(|((kind, subject), report)| {
            Condition::new(*kind, subject, &report.details, report.standing, now)
        });
        entries.collect()
    }

    /// Records that these entries are durable. What was reported meanwhile stays pending.
    fn journaled(&mut self, entries: &[Condition], now: Instant) {
        self.0.retain(|(kind, subject), report| {
            let entry = entries.iter().find(|entry| {
                let of_subject =
                    Condition::new(*kind, subject, &report.details, true, entry.received);
                entry.kind == *kind && entry.subject == of_subject.subject
            });
            let Some(entry) = entry else { return true };
            report.journaled = Some(now);
            if entry.standing == report.standing {
                report.pending = false;
            }
            // An ended condition needs no memory, but a momentary one its last entry.
            report.standing || report.pending
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: ConditionKind = ConditionKind::AlertsLate;

    fn write(table: &mut ConditionTable, now: Instant) -> Vec<(bool, String)> {
        let due = table.due(ReceiveTime(0));
        table.journaled(&due, now);
        due.into_iter()
            .map(|entry| (entry.standing, entry.details))
            .collect()
    }

    #[test]
    fn a_condition_is_journaled_when_it_begins_changes_and_ends() {
        let (mut table, start) = (ConditionTable::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(table.report(LATE, "", "31 s", at(0)));
        assert_eq!(write(&mut table, at(0)), [(true, "31 s".to_owned())]);
        for seconds in 1..60 {
            let details = format!("{} s", 31 + seconds);
            assert!(!table.report(LATE, "", &details, at(seconds)));
            assert!(write(&mut table, at(seconds)).is_empty(), "once a minute");
        }
        table.report(LATE, "", "91 s", at(60));
        assert_eq!(write(&mut table, at(60)), [(true, "91 s".to_owned())]);
        table.report(LATE, "", "91 s", at(600));
        assert!(write(&mut table, at(600)).is_empty(), "nothing changed");
        assert!(table.end(LATE, ""));
        assert!(!table.end(LATE, ""));
        assert_eq!(write(&mut table, at(601)), [(false, "91 s".to_owned())]);
        assert!(table.0.is_empty());
    }

    #[test]
    fn reports_wait_while_the_journal_takes_nothing() {
        let (mut table, now) = (ConditionTable::default(), Instant::now());
        table.report(LATE, "", "31 s", now);
        let due = table.due(ReceiveTime(0));
        // It ended while it was being written.
        table.end(LATE, "");
        table.journaled(&due, now);
        assert_eq!(write(&mut table, now), [(false, "31 s".to_owned())]);
        assert!(!table.end(LATE, ""), "it is over");
    }

    #[test]
    fn conditions_of_earlier_runs_end_once_they_do_not_stand() {
        let mut journaled = JournaledConditions::default();
        let entry = |kind, standing| {
            Control::Condition(Condition::new(kind, "", "", standing, ReceiveTime(0)))
        };
        journaled.follow(&entry(LATE, true));
        journaled.follow(&entry(ConditionKind::NoRuleInForce, true));
        journaled.follow(&entry(ConditionKind::NoRuleInForce, false));
        journaled.follow(&entry(ConditionKind::UncleanEnd, true));
        let reporter = ConditionReporter::new(journaled);
        assert_eq!(reporter.standing(LATE), [""]);
        assert!(reporter.standing(ConditionKind::NoRuleInForce).is_empty());
        assert!(reporter.standing(ConditionKind::UncleanEnd).is_empty());
        reporter.report(LATE, "", "");
        assert!(reporter.lock().due(ReceiveTime(0)).is_empty(), "it stood");
        reporter.end(LATE, "");
        assert_eq!(reporter.lock().due(ReceiveTime(0)).len(), 1);
    }

    #[test]
    fn momentary_conditions_are_journaled_once_a_minute_and_subjects_are_bounded() {
        let (mut table, start) = (ConditionTable::default(), Instant::now());
        let kind = ConditionKind::PartFailed;
        for second in 0..120 {
            let now = start + Duration::from_secs(second);
            table.report(kind, "journal", "again", now);
            assert_eq!(write(&mut table, now).len(), usize::from(second % 60 == 0));
        }
        for n in 0..1_000 {
            table.report(ConditionKind::SinkStuck, &n.to_string(), "", start);
        }
        assert_eq!(table.due(ReceiveTime(0)).len(), CONDITION_SUBJECTS_MAX);
    }
}
