//! The rows of the problems of one subject: a source, or a host that it names.

use std::sync::Arc;

use weir_schema::{
    AlertId, AlertRow, AlertState, Cause, Epoch, EventTime, Evidence, EvidenceItem, GroupKey,
    HostKey, SourceKey, TenantKey,
};

use super::SourceOutput;
use crate::source_problem::SourceProblem;

/// A source of a tenant, or a host that it names.
#[derive(Clone, Copy, Debug)]
pub struct SourceId {
    pub tenant: TenantKey,
    pub source: SourceKey,
    pub host: Option<HostKey>,
}

impl SourceId {
    /// The group of its alerts.
    pub fn group(self) -> GroupKey {
        let (tenant, source) = (self.tenant.0.to_le_bytes(), self.source.0.to_le_bytes());
        match self.host.map(|host| host.0.to_le_bytes()) {
            None => GroupKey::of(&[b"weir.source", &tenant, &source]),
            Some(host) => GroupKey::of(&[b"weir.source", &tenant, &source, &host]),
        }
    }
}

/// The evidence of a problem.
pub struct Finding<'i> {
    pub items: &'i [EvidenceItem],
    pub count: u64,
    pub cause: Cause,
}

/// The row that stands for each problem.
#[derive(Debug, Default)]
pub struct ProblemRows([Option<Arc<AlertRow>>; SourceProblem::ALL.len()]);

impl ProblemRows {
    pub fn has(&self, problem: SourceProblem) -> bool {
        self.0[problem.place()].is_some()
    }

    /// Raises a problem, or revises its row when its count reaches the next power of two.
    pub fn raise(
        &mut self,
        problem: SourceProblem,
        id: SourceId,
        finding: Finding<'_>,
        output: &mut Vec<SourceOutput>,
    ) {
        let (Some(first), Some(last)) = (finding.items.first(), finding.items.last()) else {
            return;
        };
        let count = finding.count;
        let level = problem.level();
        let standing = &mut self.0[problem.place()];
        let row = match standing {
            Some(before)
                if count <= before.count
                    || count.checked_ilog2() == before.count.checked_ilog2() =>
            {
                return;
            }
            Some(before) => {
                output.push(SourceOutput::Row {
                    row: Arc::clone(before),
                    level,
                    diff: -1,
                });
                AlertRow {
                    count,
                    last: last.time.max(before.last),
                    cause: finding.cause,
                    ..AlertRow::clone(before)
                }
            }
            None => AlertRow {
                last: last.time,
                ..first_row(problem, id, first.time, &finding)
            },
        };
        let row = Arc::new(row);
        output.push(SourceOutput::Row {
            row: Arc::clone(&row),
            level,
            diff: 1,
        });
        *standing = Some(row);
    }

    pub fn retract(
        &mut self,
        problem: SourceProblem,
        cause: Cause,
        output: &mut Vec<SourceOutput>,
    ) {
        if let Some(row) = self.0[problem.place()].take() {
            output.push(SourceOutput::Retracted(row.alert, cause));
            output.push(SourceOutput::Row {
                row,
                level: problem.level(),
                diff: -1,
            });
        }
    }
}

/// The first row of a problem whose first event is at `first`.
fn first_row(
    problem: SourceProblem,
    id: SourceId,
    first: EventTime,
    finding: &Finding<'_>,
) -> AlertRow {
    let (tenant, group) = (id.tenant, id.group());
    let alert = AlertId::for_episode(tenant, problem.rule(), &group, first);
    AlertRow {
        alert,
        key: alert,
        plan: problem.plan(),
        plan_epoch: Epoch(0),
        version: problem.version(),
        tenant,
        group,
        state: AlertState::Confirmed,
        from: first,
        first,
        last: first,
        count: finding.count,
        limited: false,
        supersedes: Vec::new(),
        evidence: Evidence {
            head: finding.items.to_vec(),
            tail: Vec::new(),
        },
        cause: finding.cause,
        marked: None,
    }
}
