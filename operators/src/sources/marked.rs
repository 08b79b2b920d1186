//! The events of a source that do not stand at the time that they state, by the host that they name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_schema::{
    Cause, Event, EventTime, EvidenceItem, HostKey, ReceiveTime, SourceKey, Span, TenantKey,
    TimeMark,
};

use super::SourceOutput;
use super::problem_rows::{Finding, ProblemRows, SourceId};
use crate::source_problem::SourceProblem;

/// A problem is over after this time without such an event.
const CALM: Span = Span::seconds(3_600);

/// Most hosts of one source with an alert of their own; further ones count for the source. Whoever
/// writes a log can name any host.
const HOSTS_MAX: usize = 64;

/// Most hosts of all sources of a tenant with an alert of their own.
const TENANT_HOSTS_MAX: usize = 4_096;

/// Events of one batch that have, or may have, the same mark, and name the same host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MarkedFrames {
    pub tenant: TenantKey,
    pub source: SourceKey,
    pub host: Option<HostKey>,
    pub received: ReceiveTime,
    pub mark: TimeMark,
    /// For events that may be late: their time. They have the mark if it is before the settled line.
    pub stated: EventTime,
    pub first: EvidenceItem,
    pub events: u64,
}

/// The host that an event names, unless it is its source.
pub fn inner_host<'e>(event: &'e Event<'_>, source: &str) -> Option<std::borrow::Cow<'e, str>> {
    let host = event.get("host")?.as_text()?;
    (!host.is_empty() && host != source).then_some(host)
}

/// The key of a host.
pub fn host_key(host: &str) -> HostKey {
    HostKey::of(&[host.as_bytes()])
}

/// The sources and hosts of a tenant with marked events in the last hour.
///
/// **Invariant.** A subject is there while one of its rows stands.
#[derive(Debug, Default)]
pub struct MarkedSubjects {
    subjects: BTreeMap<(SourceKey, Option<HostKey>), MarkedSubject>,
    hosts: usize,
}

#[derive(Debug, Default)]
struct MarkedSubject {
    /// By place in [`TimeMark::ALL`].
    periods: [Option<MarkedPeriod>; TimeMark::ALL.len()],
    rows: ProblemRows,
}

/// A time in which a subject had events with a mark.
#[derive(Clone, Copy, Debug)]
struct MarkedPeriod {
    first: EvidenceItem,
    last: ReceiveTime,
    count: u64,
}

impl MarkedSubjects {
    /// Counts marked events, and raises or revises the alert about them.
    pub fn add(&mut self, frames: &MarkedFrames, output: &mut Vec<SourceOutput>) {
        let (source, host) = (frames.source, self.host_of(frames));
        let known = self.subjects.len();
        let subject = self.subjects.entry((source, host)).or_default();
        let period = &mut subject.periods[frames.mark as usize];
        let period = period.get_or_insert(MarkedPeriod {
            first: frames.first,
            last: frames.received,
            count: 0,
        });
        period.last = period.last.max(frames.received);
        period.count = period.count.saturating_add(frames.events);
        let mut items = vec![period.first, frames.first];
        items.dedup();
        let finding = Finding {
            items: &items,
            count: period.count,
            cause: Cause::Event(frames.first),
        };
        let id = SourceId {
            tenant: frames.tenant,
            source,
            host,
        };
        let problem = SourceProblem::of_mark(frames.mark);
        subject.rows.raise(problem, id, finding, output);
        if self.subjects.len() > known && host.is_some() {
            self.hosts += 1;
        }
    }

    /// The host under which events count: the one that they name, if there is room for it.
    fn host_of(&self, frames: &MarkedFrames) -> Option<HostKey> {
        let host = frames.host?;
        if self.subjects.contains_key(&(frames.source, Some(host))) {
            return Some(host);
        }
        let all = (frames.source, None)..=(frames.source, Some(HostKey(u64::MAX)));
        let full = self.hosts >= TENANT_HOSTS_MAX || self.subjects.range(all).count() >= HOSTS_MAX;
        (!full).then_some(host)
    }

    /// Retracts the alerts of subjects that have had no such event for a while.
    pub fn check_time(&mut self, now: ReceiveTime, output: &mut Vec<SourceOutput>) {
        for subject in self.subjects.values_mut() {
            for (mark, period) in TimeMark::ALL.into_iter().zip(&mut subject.periods) {
                if period.is_some_and(|period| period.last.plus(CALM) < now) {
                    *period = None;
                    let problem = SourceProblem::of_mark(mark);
                    subject.rows.retract(problem, Cause::Clock(now), output);
                }
            }
        }
        self.subjects
            .retain(|_, subject| subject.periods.iter().any(Option::is_some));
        let hosts = self.subjects.keys().filter(|(_, host)| host.is_some());
        self.hosts = hosts.count();
    }

    /// Retracts all alerts, because other bounds are other rules.
    pub fn reset(&mut self, output: &mut Vec<SourceOutput>) {
        for mut subject in std::mem::take(&mut self.subjects).into_values() {
            for problem in SourceProblem::ALL {
                let cause = Cause::Rule(problem.version());
                subject.rows.retract(problem, cause, output);
            }
        }
        self.hosts = 0;
    }

    /// The number of subjects for which the alert about `problem` stands.
    pub fn standing(&self, problem: SourceProblem) -> u32 {
        let with = self
            .subjects
            .values()
            .filter(|subject| subject.rows.has(problem));
        u32::try_from(with.count()).unwrap_or(u32::MAX)
    }
}
