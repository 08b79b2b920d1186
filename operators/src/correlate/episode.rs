//! Episodes: firing anchors that belong together, the alert as which they were said, and what they
//! become when anchors around them start or stop firing.

use std::sync::Arc;

use weir_schema::{AlertId, AlertRow, Epoch, Evidence};

/// The part of an episode before the settled line: what forgetting may not lose.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Time of its first member event.
    pub first: i64,
    /// Its last firing anchor before the settled line.
    pub last: i64,
    /// Member events in the union of its firing windows up to `last`.
    pub count: u64,
    pub evidence: Evidence,
}

/// Firing anchors whose gaps are no longer than the timespan.
#[derive(Clone, Debug)]
pub struct Episode {
    /// First and last firing anchor.
    pub from: i64,
    pub to: i64,
    pub summary: Option<Box<Summary>>,
    pub said: Option<Said>,
    /// Where its first member event was found last.
    pub low_hint: usize,
}

/// The alert as which an episode was said aloud.
#[derive(Clone, Debug)]
pub struct Said {
    /// First firing anchor of the episode when `row` was said.
    pub from: i64,
    pub alert: AlertId,
    /// The anchor whose key `alert` is.
    pub named: i64,
    pub raised: Epoch,
    pub supersedes: Vec<AlertId>,
    /// The row that stands for it downstream.
    pub row: Option<Arc<AlertRow>>,
    /// Rows of the alerts that it swallowed since `row` was said.
    pub taken_back: Vec<Arc<AlertRow>>,
}

/// A stretch of firing anchors on the way to becoming an episode.
pub struct Stretch {
    pub from: i64,
    pub to: i64,
}

/// Joins stretches whose gap is no longer than `w`; they are in order of time.
pub fn glue(stretches: Vec<Stretch>, w: i64) -> Vec<Stretch> {
    let mut glued: Vec<Stretch> = Vec::with_capacity(stretches.len());
    for next in stretches {
        match glued.last_mut() {
            Some(last) if next.from.saturating_sub(last.to) <= w => last.to = last.to.max(next.to),
            _ => glued.push(next),
        }
    }
    glued
}

/// Gives the alerts of the `old` episodes to the new stretches: to the earliest that overlaps the
/// old episode, else to the earliest within `w` of it. Of several alerts, the one raised first stays.
pub fn assign(
    stretches: Vec<Stretch>,
    old: Vec<Episode>,
    w: i64,
    gone: &mut Vec<Said>,
) -> Vec<Episode> {
    let mut new: Vec<Episode> = stretches
        .into_iter()
        .map(|stretch| Episode {
            from: stretch.from,
            to: stretch.to,
            summary: None,
            said: None,
            low_hint: 0,
        })
        .collect();
    for episode in old {
        let near = |reach: i64, new: &[Episode]| {
            new.iter().position(|stretch| {
                stretch.from.saturating_sub(reach) <= episode.to
                    && stretch.to.saturating_add(reach) >= episode.from
            })
        };
        let heir = near(0, &new).or_else(|| near(w, &new));
        match heir {
            Some(heir) => inherit(&mut new[heir], episode),
            None => gone.extend(episode.said),
        }
    }
    new
}

fn inherit(heir: &mut Episode, old: Episode) {
    if heir.summary.is_none() {
        heir.summary = old.summary;
    }
    let Some(old) = old.said else { return };
    let Some(said) = &mut heir.said else {
        heir.said = Some(old);
        return;
    };
    // Old episodes come in order of time, so the earlier one stays among those raised together.
    let swallowed = if old.raised < said.raised {
        std::mem::replace(said, old)
    } else {
        old
    };
    said.supersedes.push(swallowed.alert);
    said.supersedes.extend(swallowed.supersedes);
    said.supersedes.sort_unstable();
    said.taken_back.extend(swallowed.row);
    said.taken_back.extend(swallowed.taken_back);
}
