//! [`Correlator`] as a timely operator: facts by group, directives to every worker, an epoch at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::core::{Concat, Exchange as _, Filter, Map, OkErr};
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::Broadcast;
use weir_schema::{AlertId, AlertRow, Cause, Epoch, Fact, Link, Plan, WhatIfId};

use super::{Correlator, Counts, Directive, Fed, Tried, route};

/// Rows as differential updates, and what belongs beside them.
pub struct Correlated<'scope> {
    pub rows: Stream<'scope, u64, Vec<(Arc<AlertRow>, u64, isize)>>,
    pub notes: Stream<'scope, u64, Vec<CorrelateNote>>,
}

/// What the correlator reports besides rows.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum CorrelateNote {
    Retracted(AlertId, Cause),
    Counts(Counts),
    WhatIf(WhatIfId, Tried),
    /// Groups held by this worker and their bytes.
    Size(usize, usize),
}

enum Said {
    Row((Arc<AlertRow>, u64, isize)),
    Fed(Fed),
    Note(CorrelateNote),
}

/// What comes beside facts.
#[derive(Clone)]
enum Word {
    Directive(Directive),
    Fed(Fed),
}

/// How often a worker measures its state, in epochs: the measure visits every group.
const SIZE_EVERY_EPOCHS: u64 = 1024;

struct Open {
    capability: Capability<u64>,
    facts: Vec<Fact>,
    fed: Vec<Fed>,
    directives: Vec<Directive>,
}

/// Correlates facts under `directives`, which are given on one worker and broadcast here.
///
/// Plans that hear others run behind them, stage by stage: `above` has their own facts with their
/// stages, and `links` the groups that belong together.
///
/// ```text
///  facts ─► stage 0 ─┬─ fed ─► stage 1 ─┬─ fed ─► ... ─┬─► rows, notes
///  above, links ─────┴──────────────────┴──────────────┘
/// ```
pub fn correlate<'scope>(
    facts: Stream<'scope, u64, Vec<Fact>>,
    above: Stream<'scope, u64, Vec<(u8, Fact)>>,
    links: Stream<'scope, u64, Vec<Vec<Link>>>,
    directives: Stream<'scope, u64, Vec<Directive>>,
) -> Correlated<'scope> {
    let mut fed = links.map(Fed::Links);
    let (mut all, first) = stage(0, facts, fed.clone(), directives.clone());
    fed = fed.concat(first);
    for number in 1..=Plan::STAGE_MAX {
        let own = above.clone();
        let own = own.flat_map(move |(stage, fact)| (stage == number).then_some(fact));
        let (said, further) = stage(number, own, fed.clone(), directives.clone());
        fed = fed.concat(further);
        all = Correlated {
            rows: all.rows.concat(said.rows),
            notes: all.notes.concat(said.notes),
        };
    }
    all
}

/// The plans of one stage; returns what it says, and what it tells the stages behind it.
fn stage<'scope>(
    number: u8,
    facts: Stream<'scope, u64, Vec<Fact>>,
    fed: Stream<'scope, u64, Vec<Fed>>,
    directives: Stream<'scope, u64, Vec<Directive>>,
) -> (Correlated<'scope>, Stream<'scope, u64, Vec<Fed>>) {
    let fed = fed.filter(move |fed| fed.stage() == number);
    let words: Stream<'scope, u64, Vec<Word>> = fed.exchange(Fed::route).map(Word::Fed);
    let words = words.concat(directives.broadcast().map(Word::Directive));
    let said = facts.binary_frontier::<_, CapacityContainerBuilder<Vec<Said>>, _, _, _, _>(
        words,
        Exchange::new(|fact: &Fact| route(&fact.group)),
        Pipeline,
        "Correlate",
        |_capability, _info| {
            let mut correlator = Correlator::of_stage(number);
            let mut open: BTreeMap<u64, Open> = BTreeMap::new();
            move |(facts, facts_frontier), (words, words_frontier), output| {
                facts.for_each(|capability, data| {
                    if let Some(capability) = capability.retain_least(0) {
                        at(&mut open, capability).facts.append(data);
                    }
                });
                words.for_each(|capability, data| {
                    if let Some(capability) = capability.retain_least(0) {
                        let open = at(&mut open, capability);
                        for word in data.drain(..) {
                            match word {
                                Word::Directive(directive) => open.directives.push(directive),
                                Word::Fed(fed) => open.fed.push(fed),
                            }
                        }
                    }
                });
                while let Some(entry) = open.first_entry() {
                    let epoch = *entry.key();
                    if facts_frontier.less_equal(&epoch) || words_frontier.less_equal(&epoch) {
                        break;
                    }
                    // Directives come from one worker, so their order is the same on every worker.
                    let now = entry.remove();
                    let said =
                        correlator.epoch_fed(Epoch(epoch), &now.facts, &now.fed, &now.directives);
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
                    for fed in said.fed {
                        session.give(Said::Fed(fed));
                    }
                    session.give(Said::Note(CorrelateNote::Counts(said.counts)));
                    if epoch % SIZE_EVERY_EPOCHS == 0 {
                        let (groups, bytes) = correlator.size();
                        if number == 0 || groups > 0 {
                            session.give(Said::Note(CorrelateNote::Size(groups, bytes)));
                        }
                    }
                }
            }
        },
    );
    // What is no row is parted again: what is told to stages behind, and notes.
    #[expect(
        clippy::result_large_err,
        reason = "both ways are taken, and none is an error"
    )]
    let (rows, rest): (Stream<'scope, u64, Vec<_>>, Stream<'scope, u64, Vec<_>>) =
        said.ok_err(|said| match said {
            Said::Row(row) => Ok(row),
            Said::Fed(fed) => Err(Ok(fed)),
            Said::Note(note) => Err(Err(note)),
        });
    let (fed, notes) = rest.ok_err(|rest| rest);
    (Correlated { rows, notes }, fed)
}

fn at(open: &mut BTreeMap<u64, Open>, capability: Capability<u64>) -> &mut Open {
    open.entry(*capability.time()).or_insert_with(|| Open {
        capability,
        facts: Vec::new(),
        fed: Vec::new(),
        directives: Vec::new(),
    })
}
