//! [`Correlator`] as a timely operator: facts by group, directives to every worker, epoch by epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::core::{Concat, Exchange as _, Filter, Map, OkErr};
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::Broadcast;
use weir_schema::{
    AlertId, AlertRow, Cause, Epoch, Fact, GroupLink, Plan, RuleTimes, Stopwatch, WhatIfId,
};

use super::correlator::Correlator;
use super::directive::Directive;
use super::output::{CorrelationCounts, CorrelatorOutput, WhatIfOutput};
use super::shard::route;
use super::stage_update::StageUpdate;

/// The output streams of the correlation.
pub struct CorrelateStreams<'scope> {
    /// Alert rows as differential updates.
    pub rows: Stream<'scope, u64, Vec<RowUpdate>>,
    pub notes: Stream<'scope, u64, Vec<CorrelateNote>>,
}

type RowUpdate = (Arc<AlertRow>, u64, isize);

/// A report of the correlator beside its rows.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum CorrelateNote {
    Retracted(AlertId, Cause),
    Counts(CorrelationCounts),
    WhatIf(WhatIfId, WhatIfOutput),
    /// The number of groups on this worker, and their bytes.
    Size(usize, usize),
    /// The working time of rules on this worker.
    Times(RuleTimes),
}

/// One item of the output of a stage.
enum StageOutput {
    Row(RowUpdate),
    Downstream(StageUpdate),
    Note(CorrelateNote),
}

/// One item of the input of a stage, beside facts.
#[derive(Clone)]
enum StageInput {
    Directive(Directive),
    Upstream(StageUpdate),
}

/// How often a worker measures its state, in epochs: the measure visits every group.
const SIZE_EVERY_EPOCHS: u64 = 1024;

/// The input of an epoch that is not complete.
struct OpenEpoch {
    capability: Capability<u64>,
    facts: Vec<Fact>,
    upstream: Vec<StageUpdate>,
    directives: Vec<Directive>,
}

/// Correlates facts into alert rows, exactly, in event time.
///
/// `directives` come from one worker and are broadcast here. Plans that read other plans run behind
/// them, stage by stage: `chain_facts` are their own facts, each with its stage, and `links` map
/// the groups of one plan to those of the next.
///
/// ```text
///  facts ──────────────► stage 0 ─┬─ updates ─► stage 1 ─┬─ updates ─► ... ─┬─► rows, notes
///  chain_facts, links ────────────┴──────────────────────┴──────────────────┘
/// ```
///
/// **Invariant.** Equal input epochs give equal output epochs on any number of workers.
///
/// **Cost.** See [`Correlator`]. Each fact crosses the exchange once.
pub fn correlate<'scope>(
    facts: Stream<'scope, u64, Vec<Fact>>,
    chain_facts: Stream<'scope, u64, Vec<(u8, Fact)>>,
    links: Stream<'scope, u64, Vec<Vec<GroupLink>>>,
    directives: Stream<'scope, u64, Vec<Directive>>,
    stopwatch: Option<Stopwatch>,
) -> CorrelateStreams<'scope> {
    let mut updates = links.map(StageUpdate::Links);
    let first = StageOptions {
        number: 0,
        stopwatch,
    };
    let (mut all, first) = correlate_stage(first, facts, updates.clone(), directives.clone());
    updates = updates.concat(first);
    for number in 1..=Plan::STAGE_MAX {
        let own = chain_facts.clone();
        let own = own.flat_map(move |(stage, fact)| (stage == number).then_some(fact));
        let stage = StageOptions { number, stopwatch };
        let (streams, further) = correlate_stage(stage, own, updates.clone(), directives.clone());
        updates = updates.concat(further);
        all = CorrelateStreams {
            rows: all.rows.concat(streams.rows),
            notes: all.notes.concat(streams.notes),
        };
    }
    all
}

/// The number of a stage, and the stopwatch for its rules.
#[derive(Clone, Copy)]
struct StageOptions {
    number: u8,
    stopwatch: Option<Stopwatch>,
}

/// Runs the plans of one stage. Returns its output, and its updates for later stages.
fn correlate_stage<'scope>(
    StageOptions { number, stopwatch }: StageOptions,
    facts: Stream<'scope, u64, Vec<Fact>>,
    updates: Stream<'scope, u64, Vec<StageUpdate>>,
    directives: Stream<'scope, u64, Vec<Directive>>,
) -> (
    CorrelateStreams<'scope>,
    Stream<'scope, u64, Vec<StageUpdate>>,
) {
    let updates = updates.filter(move |update| update.stage() == number);
    let updates = updates.exchange(StageUpdate::route);
    let inputs: Stream<'scope, u64, Vec<StageInput>> = updates.map(StageInput::Upstream);
    let inputs = inputs.concat(directives.broadcast().map(StageInput::Directive));
    let outputs = facts
        .binary_frontier::<_, CapacityContainerBuilder<Vec<StageOutput>>, _, _, _, _>(
            inputs,
            Exchange::new(|fact: &Fact| route(&fact.group)),
            Pipeline,
            "Correlate",
            |_capability, _info| {
                let mut correlator = Correlator::for_stage(number, stopwatch);
                let mut open: BTreeMap<u64, OpenEpoch> = BTreeMap::new();
                move |(facts, facts_frontier), (inputs, inputs_frontier), output| {
                    facts.for_each(|capability, data| {
                        if let Some(capability) = capability.retain_least(0) {
                            open_epoch(&mut open, capability).facts.append(data);
                        }
                    });
                    inputs.for_each(|capability, data| {
                        if let Some(capability) = capability.retain_least(0) {
                            let epoch = open_epoch(&mut open, capability);
                            data.drain(..).for_each(|input| epoch.add(input));
                        }
                    });
                    while let Some(entry) = open.first_entry() {
                        let time = entry.key();
                        if facts_frontier.less_equal(time) || inputs_frontier.less_equal(time) {
                            break;
                        }
                        let epoch = entry.remove();
                        let mut session = output.session(&epoch.capability);
                        run_epoch(&mut correlator, number, &epoch, |item| session.give(item));
                    }
                }
            },
        );
    split_outputs(outputs)
}

/// Processes one complete epoch and passes its output to `give`.
fn run_epoch(
    correlator: &mut Correlator,
    stage: u8,
    input: &OpenEpoch,
    mut give: impl FnMut(StageOutput),
) {
    let epoch = *input.capability.time();
    // Directives come from one worker, so their order is the same on every worker.
    let OpenEpoch {
        facts,
        upstream,
        directives,
        ..
    } = input;
    let CorrelatorOutput {
        rows,
        retractions,
        downstream,
        counts,
        what_ifs,
        times,
    } = correlator.epoch_in_chain(Epoch(epoch), facts, upstream, directives);
    for (row, diff) in rows {
        give(StageOutput::Row((row, epoch, diff)));
    }
    for (alert, cause) in retractions {
        give(StageOutput::Note(CorrelateNote::Retracted(alert, cause)));
    }
    for (what_if, output) in what_ifs {
        give(StageOutput::Note(CorrelateNote::WhatIf(what_if, output)));
    }
    for update in downstream {
        give(StageOutput::Downstream(update));
    }
    give(StageOutput::Note(CorrelateNote::Counts(counts)));
    if let Some(times) = times {
        give(StageOutput::Note(CorrelateNote::Times(times)));
    }
    if epoch.is_multiple_of(SIZE_EVERY_EPOCHS) {
        let (groups, bytes) = correlator.size();
        if stage == 0 || groups > 0 {
            give(StageOutput::Note(CorrelateNote::Size(groups, bytes)));
        }
    }
}

/// Splits the output of a stage by kind; `Ok` and `Err` are the two sides of timely's `ok_err`.
#[expect(
    clippy::result_large_err,
    reason = "both sides are taken, and neither is an error"
)]
fn split_outputs<'scope>(
    outputs: Stream<'scope, u64, Vec<StageOutput>>,
) -> (
    CorrelateStreams<'scope>,
    Stream<'scope, u64, Vec<StageUpdate>>,
) {
    let (rows, rest): (Stream<'scope, u64, Vec<_>>, Stream<'scope, u64, Vec<_>>) =
        outputs.ok_err(|output| match output {
            StageOutput::Row(row) => Ok(row),
            StageOutput::Downstream(update) => Err(Ok(update)),
            StageOutput::Note(note) => Err(Err(note)),
        });
    let (updates, notes) = rest.ok_err(|rest| rest);
    (CorrelateStreams { rows, notes }, updates)
}

fn open_epoch(open: &mut BTreeMap<u64, OpenEpoch>, capability: Capability<u64>) -> &mut OpenEpoch {
    open.entry(*capability.time()).or_insert_with(|| OpenEpoch {
        capability,
        facts: Vec::new(),
        upstream: Vec::new(),
        directives: Vec::new(),
    })
}

impl OpenEpoch {
    fn add(&mut self, input: StageInput) {
        match input {
            StageInput::Directive(directive) => self.directives.push(directive),
            StageInput::Upstream(update) => self.upstream.push(update),
        }
    }
}
