//! Alerts about sources that are silent, lag, flood, or whose times are wrong, and about Weir itself.
//!
//! Like all alerts, they are functions of the journal: "now" is the greatest receive time in it,
//! the bounds are a control entry, and the rate of a source is counted in minutes of receipt. A
//! restart of the server is not a silence of its sources, because nothing was received meanwhile.

mod conditions;
mod marked;
mod monitor;
mod problem_rows;
mod rate;
mod source;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;
use timely::dataflow::operators::core::Map;
use weir_schema::{
    AlertId, AlertRow, Cause, EventTime, EvidenceItem, Level, ReceiveTime, SourceBounds, SourceKey,
    TenantKey, TimeMark,
};

use crate::correlate::CorrelateNote;
use crate::epochs::process_epochs;
use crate::note::Note;
use crate::source_problem::SourceProblemCounts;
pub use conditions::{ConditionMonitor, ConditionNote};
pub use marked::MarkedFrames;
pub(crate) use marked::{host_key, inner_host};
pub use monitor::SourceMonitor;
pub(crate) use problem_rows::SourceId;

/// An input of the source monitor. The order within an epoch does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SourceNote {
    Bounds(SourceBounds),
    /// A server started to receive.
    Start(ReceiveTime),
    Now(ReceiveTime),
    /// A source has nothing to send, and is not silent.
    Heartbeat {
        tenant: TenantKey,
        source: SourceKey,
    },
    Batch(SourceBatch),
    /// Events that do not stand at the time that they state.
    Marked(MarkedFrames),
    /// The settled line of a tenant at the end of the epoch.
    Settled {
        tenant: TenantKey,
        settled: EventTime,
    },
    /// A condition of Weir itself, which [`ConditionMonitor`] follows.
    Condition(ConditionNote),
}

/// A batch of a source, summarized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceBatch {
    pub tenant: TenantKey,
    pub source: SourceKey,
    pub received: ReceiveTime,
    pub events: u64,
    /// The event of the greatest credible time, or the first event if no time is credible.
    pub newest: EvidenceItem,
    pub credible: bool,
    /// The number of events whose time is after their receipt by more than `clock_skew`.
    pub skewed: u64,
    pub first_skewed: Option<EvidenceItem>,
}

/// One change in the output of the source monitor.
#[derive(Clone, Debug)]
pub enum SourceOutput {
    Row {
        row: Arc<AlertRow>,
        level: Level,
        diff: isize,
    },
    Retracted(AlertId, Cause),
    Counts(SourceProblemCounts),
    /// The number of events of a source that got a mark.
    Marked(SourceKey, TimeMark, u64),
}

type RowUpdate = ((Arc<AlertRow>, Level), u64, isize);

/// The output streams of the source monitor.
pub struct SourceStreams<'scope> {
    pub rows: Stream<'scope, u64, Vec<RowUpdate>>,
    pub retractions: Stream<'scope, u64, Vec<CorrelateNote>>,
    pub notes: Stream<'scope, u64, Vec<Note>>,
}

/// Raises and retracts alerts about sources and conditions, at the end of each epoch. One worker
/// monitors all.
///
/// See [`SourceMonitor`] and [`ConditionMonitor`] for invariants and costs.
pub fn sources<'scope>(notes: Stream<'scope, u64, Vec<SourceNote>>) -> SourceStreams<'scope> {
    let mut monitor = SourceMonitor::default();
    let mut conditions = ConditionMonitor::default();
    let outputs = process_epochs(notes, "Sources", move |epoch, mut notes| {
        let reported = take_conditions(&mut notes);
        let outputs = monitor.epoch(notes).into_iter();
        let outputs = outputs.chain(conditions.epoch(reported));
        outputs.map(|output| (epoch, output)).collect()
    });
    SourceStreams {
        rows: outputs.clone().flat_map(|(epoch, output)| match output {
            SourceOutput::Row { row, level, diff } => Some(((row, level), epoch, diff)),
            SourceOutput::Retracted(..) | SourceOutput::Counts(_) | SourceOutput::Marked(..) => {
                None
            }
        }),
        retractions: outputs.clone().flat_map(|(_, output)| match output {
            SourceOutput::Retracted(alert, cause) => Some(CorrelateNote::Retracted(alert, cause)),
            SourceOutput::Row { .. } | SourceOutput::Counts(_) | SourceOutput::Marked(..) => None,
        }),
        notes: outputs.flat_map(|(_, output)| match output {
            SourceOutput::Counts(counts) => Some(Note::Sources(counts)),
            SourceOutput::Marked(source, mark, events) => Some(Note::Marked(source, mark, events)),
            SourceOutput::Row { .. } | SourceOutput::Retracted(..) => None,
        }),
    }
}

/// Takes the notes about conditions out of the notes of an epoch. Most epochs have none.
fn take_conditions(notes: &mut Vec<SourceNote>) -> Vec<ConditionNote> {
    let mut conditions = Vec::new();
    notes.retain(|note| match note {
        SourceNote::Condition(condition) => {
            conditions.push(*condition);
            false
        }
        _ => true, // Notes about sources stay, whatever they say.
    });
    conditions
}

#[cfg(test)]
mod tests;
