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
    ClockUpdate, CorrelateNote, Directive, EmitOptions, SourceNote, Work, alerts, clocks,
    correlate, decode, sources,
};

use crate::outputs::OutputCollector;

/// The input and outputs of the graph on one worker.
pub struct Graph {
    pub input: timely::dataflow::operators::vec::input::Handle<u64, Work>,
    pub probe: ProbeHandle<u64>,
    pub outputs: Rc<RefCell<OutputCollector>>,
}

/// Builds the graph on a worker; every worker builds the same.
///
/// If it is `clustered`, the first worker gets all results that the ledger needs.
pub fn build(worker: &mut Worker, emit: EmitOptions, clustered: bool) -> Graph {
    let first = worker.index() == 0;
    let outputs = Rc::new(RefCell::new(OutputCollector::default()));
    let probe = ProbeHandle::new();
    let input = worker.dataflow::<u64, _, _>(|scope| {
        let (input, work) = scope.new_input();
        let stopwatch = emit.stopwatch;
        let decoded = decode(work, first, emit);

        let clocks = clocks(decoded.observations);
        let clock_updates = clocks.clone().map(|update| match update {
            ClockUpdate::Clock(clock) => Directive::Clock(clock),
            ClockUpdate::SourceTime(source, time) => Directive::SourceTime(source, time),
        });
        let directives = decoded.directives.concat(clock_updates);
        let correlated = correlate(
            decoded.facts,
            decoded.chain_facts,
            decoded.links,
            directives,
            stopwatch,
        );

        let alerts = alerts(correlated.rows, decoded.rules);
        let lines = clocks.clone().flat_map(|update| {
            let clock = update.clock()?;
            let (tenant, settled) = (clock.tenant, clock.settled);
            Some(SourceNote::Settled { tenant, settled })
        });
        let sources = sources(decoded.sources.concat(lines));

        let out = Rc::clone(&outputs);
        let rows = to_first_worker(alerts.inner.concat(sources.rows), clustered);
        collect(rows, &probe, move |_, rows| {
            out.borrow_mut().add_rows(&rows);
        });
        let out = Rc::clone(&outputs);
        let notes = notes_to_first_worker(correlated.notes.concat(sources.retractions), clustered);
        collect(notes, &probe, move |epoch, notes| {
            out.borrow_mut().add_correlation_notes(epoch, &notes);
        });
        let out = Rc::clone(&outputs);
        let notes = decoded.notes.concat(sources.notes);
        collect(notes, &probe, move |epoch, notes| {
            out.borrow_mut().add_notes(epoch, notes);
        });
        let out = Rc::clone(&outputs);
        collect(clocks, &probe, move |epoch, updates| {
            let clocks = updates.into_iter().filter_map(ClockUpdate::clock);
            out.borrow_mut().add_clocks(epoch, clocks);
        });
        input
    });
    Graph {
        input,
        probe,
        outputs,
    }
}

/// Sends a stream to the first worker if other processes run the graph, too.
fn to_first_worker<'scope, D: ExchangeData>(
    stream: Stream<'scope, u64, Vec<D>>,
    clustered: bool,
) -> Stream<'scope, u64, Vec<D>> {
    if clustered {
        stream.exchange(|_| 0)
    } else {
        stream
    }
}

/// Sends retractions and the output of what-ifs to the first worker; counts stay where they were
/// counted.
fn notes_to_first_worker<'scope>(
    notes: Stream<'scope, u64, Vec<CorrelateNote>>,
    clustered: bool,
) -> Stream<'scope, u64, Vec<CorrelateNote>> {
    if !clustered {
        return notes;
    }
    let (results, counts) = notes.ok_err(|note| match note {
        result @ (CorrelateNote::Retracted(..) | CorrelateNote::WhatIf(..)) => Ok(result),
        counts @ (CorrelateNote::Counts(_) | CorrelateNote::Size(..) | CorrelateNote::Times(_)) => {
            Err(counts)
        }
    });
    to_first_worker(results, clustered).concat(counts)
}

/// Passes the stream to `take`, with its epoch; `probe` shows which epochs are complete.
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
