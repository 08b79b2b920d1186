//! [`Correlator`] as a timely operator: facts by group, directives to every worker, an epoch at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::Broadcast;
use weir_schema::{AlertId, AlertRow, Cause, Epoch, Fact, WhatIfId};

use super::{Correlator, Counts, Directive, Tried, route};

/// Rows as differential updates, and what belongs beside them.
pub struct Correlated<'scope> {
    pub rows: Stream<'scope, u64, Vec<(Arc<AlertRow>, u64, isize)>>,
    pub notes: Stream<'scope, u64, Vec<CorrelateNote>>,
}

/// What the correlator reports besides rows.
#[derive(Clone, Debug)]
pub enum CorrelateNote {
    Retracted(AlertId, Cause),
    Counts(Counts),
    WhatIf(WhatIfId, Tried),
    /// Groups held by this worker and their bytes.
    Size(usize, usize),
}

enum Said {
    Row((Arc<AlertRow>, u64, isize)),
    Note(CorrelateNote),
}

/// How often a worker measures its state, in epochs: the measure visits every group.
const SIZE_EVERY_EPOCHS: u64 = 1024;

struct Open {
    capability: Capability<u64>,
    facts: Vec<Fact>,
    directives: Vec<Directive>,
}

/// Correlates `facts` under `directives`, which are given on one worker and broadcast here.
pub fn correlate<'scope>(
    facts: Stream<'scope, u64, Vec<Fact>>,
    directives: Stream<'scope, u64, Vec<Directive>>,
) -> Correlated<'scope> {
    let said = facts.binary_frontier::<_, CapacityContainerBuilder<Vec<Said>>, _, _, _, _>(
        directives.broadcast(),
        Exchange::new(|fact: &Fact| route(&fact.group)),
        Pipeline,
        "Correlate",
        |_capability, _info| {
            let mut correlator = Correlator::default();
            let mut open: BTreeMap<u64, Open> = BTreeMap::new();
            move |(facts, facts_frontier), (directives, directives_frontier), output| {
                facts.for_each(|capability, data| {
                    if let Some(capability) = capability.retain_least(0) {
                        at(&mut open, capability).facts.append(data);
                    }
                });
                directives.for_each(|capability, data| {
                    if let Some(capability) = capability.retain_least(0) {
                        at(&mut open, capability).directives.append(data);
                    }
                });
                while let Some(entry) = open.first_entry() {
                    let epoch = *entry.key();
                    if facts_frontier.less_equal(&epoch) || directives_frontier.less_equal(&epoch) {
                        break;
                    }
                    // Directives come from one worker, so their order is the same on every worker.
                    let now = entry.remove();
                    let said = correlator.epoch(Epoch(epoch), &now.facts, &now.directives);
                    let mut session = output.session(&now.capability);
                    for (row, diff) in said.rows {
                        session.give(Said::Row((row, epoch, diff)));
                    }
                    for (alert, cause) in said.retractions {
                        session.give(Said::Note(CorrelateNote::Retracted(alert, cause)));
                    }
                    for (what_if, tried) in said.what_ifs {
                        session.give(Said::Note(CorrelateNote::WhatIf(what_if, tried)));
                    }
                    session.give(Said::Note(CorrelateNote::Counts(said.counts)));
                    if epoch % SIZE_EVERY_EPOCHS == 0 {
                        let (groups, bytes) = correlator.size();
                        session.give(Said::Note(CorrelateNote::Size(groups, bytes)));
                    }
                }
            }
        },
    );
    let (rows, notes) = said.ok_err(|said| match said {
        Said::Row(row) => Ok(row),
        Said::Note(note) => Err(note),
    });
    Correlated { rows, notes }
}

fn at(open: &mut BTreeMap<u64, Open>, capability: Capability<u64>) -> &mut Open {
    open.entry(*capability.time()).or_insert_with(|| Open {
        capability,
        facts: Vec::new(),
        directives: Vec::new(),
    })
}
