//! The graph, on one page.
//!
//! ```text
//!  work ─► decode ─┬─ facts ───────── by group ──────────► correlate ─┬─ rows ─► alerts ─► outputs
//!   (each worker   ├─ links between plans ────────────────────┤        │
//!    its batches)  ├─ observations ─ to one ─► clocks ─┐     ▲        │            ▲
//!                  ├─ directives ──────────────────────┴─ to all      └─ notes     │
//!                  ├─ rules ─────────────────────────── by plan ───────────────────┘
//!                  ├─ sources ─────── to one ─► sources ── rows ─────────────────────────► outputs
//!                  └─ notes ─────────────────────────────────────────────────────────► outputs
//! ```
//!
//! One logical time per epoch. Event time is data. Nothing loops.

use std::cell::RefCell;
use std::rc::Rc;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::core::{Concat, Exchange, Map, OkErr, Probe};
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::{ProbeHandle, Stream};
use timely::worker::Worker;
use weir_operators::{
    CorrelateNote, Directive, Emit, Move, Work, alerts, clocks, correlate, decode, sources,
};

use crate::outputs::Collected;

/// The ends of the graph that a worker holds.
pub struct Graph {
    pub input: timely::dataflow::operators::vec::input::Handle<u64, Work>,
    pub probe: ProbeHandle<u64>,
    pub collected: Rc<RefCell<Collected>>,
}

/// Builds the graph on a worker; every worker builds the same. Where it is `apart`, shared with
/// other processes, the first worker has all results that the ledger wants.
pub fn build(worker: &mut Worker, emit: Emit, apart: bool) -> Graph {
    let first = worker.index() == 0;
    let collected = Rc::new(RefCell::new(Collected::default()));
    let probe = ProbeHandle::new();
    let input = worker.dataflow::<u64, _, _>(|scope| {
        let (input, work) = scope.new_input();
        let decoded = decode(work, first, emit);

        let clocks = clocks(decoded.observations);
        let moves = clocks.clone().map(|moved| match moved {
            Move::Clock(clock) => Directive::Clock(clock),
            Move::Heard(source, time) => Directive::Heard(source, time),
        });
        let directives = decoded.directives.concat(moves);
        let correlated = correlate(decoded.facts, decoded.above, decoded.links, directives);

        let alerts = alerts(correlated.rows, decoded.rules);
        let sources = sources(decoded.sources);

        let out = Rc::clone(&collected);
        let rows = at_home(alerts.inner.concat(sources.rows), apart);
        collect(rows, &probe, move |_, rows| out.borrow_mut().rows(&rows));
        let out = Rc::clone(&collected);
        let retracted = reasons_at_home(correlated.notes.concat(sources.retractions), apart);
        collect(retracted, &probe, move |epoch, notes| {
            out.borrow_mut().correlated(epoch, &notes);
        });
        let out = Rc::clone(&collected);
        collect(
            decoded.notes.concat(sources.notes),
            &probe,
            move |epoch, notes| {
                out.borrow_mut().notes(epoch, notes);
            },
        );
        let out = Rc::clone(&collected);
        collect(clocks, &probe, move |epoch, moves| {
            let clocks = moves.into_iter().filter_map(Move::clock);
            out.borrow_mut().clocks(epoch, clocks);
        });
        input
    });
    Graph {
        input,
        probe,
        collected,
    }
}

/// On the first worker, where others are in other processes.
fn at_home<'scope, D: ExchangeData>(
    stream: Stream<'scope, u64, Vec<D>>,
    apart: bool,
) -> Stream<'scope, u64, Vec<D>> {
    if apart {
        stream.exchange(|_| 0)
    } else {
        stream
    }
}

/// The same for why alerts are retracted, and for what what-ifs say; counts stay where they were
/// counted.
fn reasons_at_home<'scope>(
    notes: Stream<'scope, u64, Vec<CorrelateNote>>,
    apart: bool,
) -> Stream<'scope, u64, Vec<CorrelateNote>> {
    if !apart {
        return notes;
    }
    let (said, counts) = notes.ok_err(|note| match note {
        said @ (CorrelateNote::Retracted(..) | CorrelateNote::WhatIf(..)) => Ok(said),
        counts @ (CorrelateNote::Counts(_) | CorrelateNote::Size(..)) => Err(counts),
    });
    at_home(said, apart).concat(counts)
}

/// Hands what comes to `take`; `probe` tells when an epoch is through.
fn collect<'scope, D: Clone + 'static>(
    stream: Stream<'scope, u64, Vec<D>>,
    probe: &ProbeHandle<u64>,
    mut take: impl FnMut(u64, Vec<D>) + 'static,
) {
    stream
        .unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Collect", |_, _| {
            move |input, _output| {
                input.for_each(|capability, data| {
                    if let Some(epoch) = capability.least() {
                        take(*epoch, std::mem::take(data));
                    }
                });
            }
        })
        .probe_with(probe);
}
