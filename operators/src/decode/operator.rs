//! The decoder as a timely operator with one output per kind of result.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::CapabilityTrait;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use weir_schema::{Fact, GroupLink};

use super::decoder::Decoder;
use super::output::{DecodeOutput, RuleRow};
use super::{EmitOptions, Work};
use crate::clock::Observation;
use crate::correlate::Directive;
use crate::note::Note;
use crate::sources::SourceNote;

/// The output streams of the decoder.
pub struct DecodeStreams<'scope> {
    pub facts: Stream<'scope, u64, Vec<Fact>>,
    /// Facts of plans that read other plans, each with the stage of its plan.
    pub chain_facts: Stream<'scope, u64, Vec<(u8, Fact)>>,
    pub links: Stream<'scope, u64, Vec<Vec<GroupLink>>>,
    pub observations: Stream<'scope, u64, Vec<Observation>>,
    pub sources: Stream<'scope, u64, Vec<SourceNote>>,
    /// On the first worker only.
    pub directives: Stream<'scope, u64, Vec<Directive>>,
    /// On the first worker only.
    pub rules: Stream<'scope, u64, Vec<(RuleRow, u64, isize)>>,
    pub notes: Stream<'scope, u64, Vec<Note>>,
}

/// Decodes frames and detects with the rules of their epoch.
///
/// `is_first` is true on the first worker, which alone emits directives and rule rows.
///
/// **Invariant.** The facts of a frame depend on the frame, its batch and the rules of its epoch,
/// and on no other frame; so any worker may decode it.
///
/// **Cost.** One pass over the bytes of each frame, plus the rules that its fields select.
pub fn decode<'scope>(
    work: Stream<'scope, u64, Vec<Work>>,
    is_first: bool,
    emit: EmitOptions,
) -> DecodeStreams<'scope> {
    let mut builder = OperatorBuilder::new("Decode".to_owned(), work.scope());
    let mut input = builder.new_input(work, Pipeline);
    let (facts, facts_stream) = new_output(&mut builder);
    let (chain_facts, chain_facts_stream) = new_output(&mut builder);
    let (links, links_stream) = new_output(&mut builder);
    let (observations, observations_stream) = new_output(&mut builder);
    let (sources, sources_stream) = new_output(&mut builder);
    let (directives, directives_stream) = new_output(&mut builder);
    let (rules, rules_stream) = new_output(&mut builder);
    let (notes, notes_stream) = new_output(&mut builder);
    let mut ports = OutputPorts {
        facts,
        chain_facts,
        links,
        observations,
        sources,
        directives,
        rules,
        notes,
    };
    builder.build(move |_capabilities| {
        let mut decoder = Decoder::new(is_first, emit);
        move |_frontiers| {
            let mut ports = ports.activate();
            input.for_each(|capability, data| {
                let Some(epoch) = capability.least().copied() else {
                    return;
                };
                let mut output = DecodeOutput::default();
                for work in data.drain(..) {
                    decoder.process(epoch, work, &mut output);
                }
                ports.send(epoch, &capability, output);
            });
        }
    });
    DecodeStreams {
        facts: facts_stream,
        chain_facts: chain_facts_stream,
        links: links_stream,
        observations: observations_stream,
        sources: sources_stream,
        directives: directives_stream,
        rules: rules_stream,
        notes: notes_stream,
    }
}

type Port<T> = OutputBuilder<u64, CapacityContainerBuilder<Vec<T>>>;

fn new_output<'scope, T: Clone + 'static>(
    builder: &mut OperatorBuilder<'scope, u64>,
) -> (Port<T>, Stream<'scope, u64, Vec<T>>) {
    let (output, stream) = builder.new_output();
    (OutputBuilder::from(output), stream)
}

/// The output ports of the operator, in the order of their creation.
struct OutputPorts {
    facts: Port<Fact>,
    chain_facts: Port<(u8, Fact)>,
    links: Port<Vec<GroupLink>>,
    observations: Port<Observation>,
    sources: Port<SourceNote>,
    directives: Port<Directive>,
    rules: Port<(RuleRow, u64, isize)>,
    notes: Port<Note>,
}

impl OutputPorts {
    fn activate(&mut self) -> ActivePorts<'_> {
        ActivePorts {
            facts: self.facts.activate(),
            chain_facts: self.chain_facts.activate(),
            links: self.links.activate(),
            observations: self.observations.activate(),
            sources: self.sources.activate(),
            directives: self.directives.activate(),
            rules: self.rules.activate(),
            notes: self.notes.activate(),
        }
    }
}

type ActivePort<'p, T> = OutputBuilderSession<'p, u64, CapacityContainerBuilder<Vec<T>>>;

/// The output ports during one activation of the operator.
struct ActivePorts<'p> {
    facts: ActivePort<'p, Fact>,
    chain_facts: ActivePort<'p, (u8, Fact)>,
    links: ActivePort<'p, Vec<GroupLink>>,
    observations: ActivePort<'p, Observation>,
    sources: ActivePort<'p, SourceNote>,
    directives: ActivePort<'p, Directive>,
    rules: ActivePort<'p, (RuleRow, u64, isize)>,
    notes: ActivePort<'p, Note>,
}

impl ActivePorts<'_> {
    fn send(&mut self, epoch: u64, capability: &impl CapabilityTrait<u64>, output: DecodeOutput) {
        send(&mut self.facts, capability, output.facts);
        send(&mut self.chain_facts, capability, output.chain_facts);
        send(&mut self.links, capability, output.links);
        send(&mut self.observations, capability, output.observations);
        send(&mut self.sources, capability, output.sources);
        send(&mut self.directives, capability, output.directives);
        let rules = output.rules.into_iter();
        let updates = rules.map(|(row, diff)| (row, epoch, diff));
        send(&mut self.rules, capability, updates);
        send(&mut self.notes, capability, output.notes);
    }
}

fn send<T: Clone + 'static>(
    port: &mut ActivePort<'_, T>,
    capability: &impl CapabilityTrait<u64>,
    items: impl IntoIterator<Item = T>,
) {
    port.session(capability).give_iterator(items.into_iter());
}
