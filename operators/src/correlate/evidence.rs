//! The evidence of an episode: its first and its last events, each once.

use std::sync::Arc;

use weir_schema::{AlertRow, Evidence, EvidenceItem};

use super::run::Entry;

/// The head of an evidence so far, and how many of the members it has taken.
pub type Head = (Vec<EvidenceItem>, usize);

/// The head that was said before, where the first members are what they were: entries are added
/// anywhere but taken away only at the ends, so the first and the last of them tell.
pub fn head(members: &[Entry], row: Option<&Arc<AlertRow>>) -> Head {
    let known = row.map(|row| &row.evidence.head).filter(|head| {
        head.len() == Evidence::ITEMS_MAX
            && members.first().map(Entry::item).as_ref() == head.first()
            && members.get(head.len() - 1).map(Entry::item).as_ref() == head.last()
    });
    known.map_or_else(|| (Vec::new(), 0), |head| (head.clone(), head.len()))
}

/// The evidence of what was before, as `head` and `tail`, and of `entries`: the first and the last
/// events, each once.
pub fn evidence(
    (mut head, taken): Head,
    tail_before: &[EvidenceItem],
    entries: &[Entry],
) -> Evidence {
    let mut next = taken;
    if head.is_empty() {
        head.reserve_exact(Evidence::ITEMS_MAX.min(entries.len()));
    }
    while next < entries.len() && head.len() < Evidence::ITEMS_MAX {
        push_distinct(&mut head, entries[next].item());
        next += 1;
    }
    // Repeats of the last event of the head are no new events.
    while next < entries.len() && head.last().is_some_and(|last| same(last, &entries[next])) {
        next += 1;
    }
    let mut tail: Vec<EvidenceItem> = Vec::new();
    tail.reserve_exact(Evidence::ITEMS_MAX.min(tail_before.len() + entries.len() - next));
    for entry in entries[next..].iter().rev() {
        if let Some(last) = tail.last_mut().filter(|last| same(last, entry)) {
            // The earliest of equal frames stands for them.
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

fn push_distinct(items: &mut Vec<EvidenceItem>, item: EvidenceItem) {
    if !items
        .last()
        .is_some_and(|last| last.event == item.event && last.time == item.time)
    {
        items.push(item);
    }
}

fn same(item: &EvidenceItem, entry: &Entry) -> bool {
    item.event == entry.event && item.time.0 == entry.time
}
