//! The evidence of an episode: its first and its last events, each once.

use std::sync::Arc;

use weir_schema::{AlertRow, Evidence, EvidenceItem};

use super::run::RunEntry;

/// The first items of an evidence, and the number of entries that they were taken from.
#[derive(Default)]
pub struct EvidenceHead {
    pub items: Vec<EvidenceItem>,
    pub entries: usize,
}

impl EvidenceHead {
    /// Reuses the head of the last emitted row, if its entries are still the first ones.
    ///
    /// Entries may be added anywhere but are removed only at the ends, so it is enough to compare
    /// the first and the last entry of the head.
    pub fn reuse(entries: &[RunEntry], row: Option<&Arc<AlertRow>>) -> Self {
        let known = row.map(|row| &row.evidence.head).filter(|head| {
            head.len() == Evidence::ITEMS_MAX
                && entries.first().map(RunEntry::item).as_ref() == head.first()
                && entries.get(head.len() - 1).map(RunEntry::item).as_ref() == head.last()
        });
        known.map_or_else(Self::default, |head| Self {
            items: head.clone(),
            entries: head.len(),
        })
    }
}

/// Extends earlier evidence by `entries`: keeps the first and the last events, each once.
///
/// `head` and `tail_before` are the evidence so far; `head.entries` of `entries` are in `head`
/// already.
pub fn extend_evidence(
    head: EvidenceHead,
    tail_before: &[EvidenceItem],
    entries: &[RunEntry],
) -> Evidence {
    let EvidenceHead {
        items: mut head,
        entries: mut next,
    } = head;
    if head.is_empty() {
        head.reserve_exact(Evidence::ITEMS_MAX.min(entries.len()));
    }
    while next < entries.len() && head.len() < Evidence::ITEMS_MAX {
        if !head
            .last()
            .is_some_and(|last| is_same(last, &entries[next]))
        {
            head.push(entries[next].item());
        }
        next += 1;
    }
    // Repeats of the last event of the head are not new events.
    while next < entries.len()
        && head
            .last()
            .is_some_and(|last| is_same(last, &entries[next]))
    {
        next += 1;
    }
    let mut tail: Vec<EvidenceItem> = Vec::new();
    tail.reserve_exact(Evidence::ITEMS_MAX.min(tail_before.len() + entries.len() - next));
    for entry in entries[next..].iter().rev() {
        if let Some(last) = tail.last_mut().filter(|last| is_same(last, entry)) {
            // The earliest of equal frames stands for all of them.
            *last = entry.item();
        } else if tail.len() == Evidence::ITEMS_MAX {
            break;
        } else {
            tail.push(entry.item());
        }
    }
    tail.reverse();
    let start = tail_before
        .len()
        .saturating_sub(Evidence::ITEMS_MAX - tail.len());
    tail.splice(0..0, tail_before[start..].iter().copied());
    Evidence { head, tail }
}

fn is_same(item: &EvidenceItem, entry: &RunEntry) -> bool {
    item.event == entry.event && item.time == entry.time
}
