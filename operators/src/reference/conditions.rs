//! The oracle of conditions: which of them stand after a history of entries.

use weir_schema::condition::{CONDITION_RECURS_WITHIN, CONDITION_SUBJECTS_MAX};
use weir_schema::{Condition, ConditionKind, ReceiveTime};

/// An alert about a condition that stands after all entries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StandingCondition {
    pub kind: ConditionKind,
    pub subject: String,
    pub first: ReceiveTime,
    pub last: ReceiveTime,
    pub count: u64,
}

/// The alerts that stand after `entries`, in no order.
///
/// An entry belongs to the open episode of its kind and subject, or begins one. An end closes the
/// episode and takes its alert back. A momentary condition begins a new episode an hour after its
/// last entry, and the alert of the episode before stays.
#[must_use]
pub fn standing_conditions(entries: &[Condition]) -> Vec<StandingCondition> {
    // Each open episode is an index into `standing`, except where the alert was taken back.
    let mut standing: Vec<StandingCondition> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for entry in entries {
        let place = open.iter().position(|index| {
            standing[*index].kind == entry.kind && standing[*index].subject == entry.subject
        });
        if !entry.standing {
            if let Some(place) = place {
                let index = open.remove(place);
                standing.remove(index);
                for later in open.iter_mut().filter(|later| **later > index) {
                    *later -= 1;
                }
            }
            continue;
        }
        if let Some(place) = place {
            let known = &mut standing[open[place]];
            let until = known.last.plus(CONDITION_RECURS_WITHIN);
            if !entry.kind.is_momentary() || entry.received <= until {
                known.last = known.last.max(entry.received);
                known.count += 1;
                continue;
            }
            open.remove(place);
        }
        let of_kind: Vec<usize> = (0..open.len())
            .filter(|place| standing[open[*place]].kind == entry.kind)
            .collect();
        if of_kind.len() >= CONDITION_SUBJECTS_MAX {
            if !entry.kind.is_momentary() {
                continue;
            }
            let age = |place: &usize| {
                let known = &standing[open[*place]];
                (known.last, known.kind.group(&known.subject))
            };
            let oldest = of_kind.into_iter().min_by_key(age);
            open.remove(oldest.expect("the kind is full of episodes"));
        }
        open.push(standing.len());
        standing.push(StandingCondition {
            kind: entry.kind,
            subject: entry.subject.clone(),
            first: entry.received,
            last: entry.received,
            count: 1,
        });
    }
    standing
}
