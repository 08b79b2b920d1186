//! The skeleton of an operator that processes whole epochs on one worker.

use std::collections::BTreeMap;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;

/// Gathers the items of each epoch on one worker, and emits what `process` returns for them.
///
/// An epoch is processed once the frontier passes it, so epochs come complete and in order.
/// `process` takes the epoch and its items, which are in any order.
pub fn process_epochs<'scope, I, O>(
    items: Stream<'scope, u64, Vec<I>>,
    name: &str,
    mut process: impl FnMut(u64, Vec<I>) -> Vec<O> + 'static,
) -> Stream<'scope, u64, Vec<O>>
where
    I: ExchangeData,
    O: Clone + 'static,
{
    items.unary_frontier::<CapacityContainerBuilder<Vec<O>>, _, _, _>(
        Exchange::new(|_: &I| 0),
        name,
        |_capability, _info| {
            let mut open = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each(|capability, data| {
                    let Some(capability) = capability.retain_least(0) else {
                        return;
                    };
                    let (_, items) = open
                        .entry(*capability.time())
                        .or_insert_with(|| (capability, Vec::new()));
                    items.append(data);
                });
                while let Some(entry) = open.first_entry() {
                    let epoch = *entry.key();
                    if frontier.less_equal(&epoch) {
                        break;
                    }
                    let (capability, items) = entry.remove();
                    let mut session = output.session(&capability);
                    for item in process(epoch, items) {
                        session.give(item);
                    }
                }
            }
        },
    )
}
