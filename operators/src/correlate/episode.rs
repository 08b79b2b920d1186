//! Episodes: the firing anchors that belong together, and the alert that was emitted for them.

use std::sync::Arc;

use weir_schema::{AlertId, AlertRow, Epoch, EventTime, Evidence, MarkedEvent, Span};

use super::range::TimeRange;

/// The part of an episode before the settled line, stored because its events are forgotten.
#[derive(Clone, Debug)]
pub struct EpisodeSummary {
    /// The time of its first member event.
    pub first: EventTime,
    /// Its last firing anchor before the settled line.
    pub last: EventTime,
    /// The number of member events in the union of its firing windows up to `last`.
    pub count: u64,
    pub evidence: Evidence,
    /// The first of these events that has a mark.
    pub marked: Option<MarkedEvent>,
}

/// Firing anchors whose gaps are no longer than the timespan.
#[derive(Clone, Debug)]
pub struct Episode {
    /// The first and the last firing anchor.
    pub from: EventTime,
    pub to: EventTime,
    pub summary: Option<Box<EpisodeSummary>>,
    pub alert: Option<EpisodeAlert>,
    /// The place in the run at which its first member event was found last.
    pub low_hint: usize,
}

impl Episode {
    /// The row of this episode that stands downstream.
    pub fn row(&self) -> Option<&Arc<AlertRow>> {
        self.alert.as_ref().and_then(|alert| alert.row.as_ref())
    }
}

/// The alert of an episode.
#[derive(Clone, Debug)]
pub struct EpisodeAlert {
    /// The first firing anchor of the episode when `row` was emitted.
    pub from: EventTime,
    pub id: AlertId,
    /// The first firing anchor from which `id` was derived.
    pub id_anchor: EventTime,
    pub raised: Epoch,
    pub supersedes: Vec<AlertId>,
    /// The row that stands downstream.
    pub row: Option<Arc<AlertRow>>,
    /// Rows of alerts that this one superseded since `row` was emitted; still to be retracted.
    pub superseded_rows: Vec<Arc<AlertRow>>,
}

/// Merges ranges of firing anchors whose gap is no longer than `timespan`.
///
/// The ranges are in order of time.
pub fn merge_ranges(ranges: Vec<TimeRange>, timespan: Span) -> Vec<TimeRange> {
    let mut merged: Vec<TimeRange> = Vec::with_capacity(ranges.len());
    for next in ranges {
        match merged.last_mut() {
            Some(last) if next.from.since(last.to) <= timespan => last.to = last.to.max(next.to),
            _ => merged.push(next),
        }
    }
    merged
}

/// Makes episodes of `ranges` and passes the alerts of the `old` episodes on to them.
///
/// An alert goes to the earliest new episode that overlaps the old one, or else to the earliest
/// within `timespan` of it. Of several alerts for one episode, the one raised first stays and
/// supersedes the others. Alerts without a new episode go to `orphaned`.
pub fn reassign_alerts(
    ranges: Vec<TimeRange>,
    old: Vec<Episode>,
    timespan: Span,
    orphaned: &mut Vec<EpisodeAlert>,
) -> Vec<Episode> {
    let mut new: Vec<Episode> = ranges
        .into_iter()
        .map(|range| Episode {
            from: range.from,
            to: range.to,
            summary: None,
            alert: None,
            low_hint: 0,
        })
        .collect();
    for episode in old {
        let near = |reach: Span, new: &[Episode]| {
            new.iter().position(|candidate| {
                candidate.from.minus(reach) <= episode.to
                    && candidate.to.plus(reach) >= episode.from
            })
        };
        let heir = near(Span::ZERO, &new).or_else(|| near(timespan, &new));
        match heir {
            Some(heir) => inherit(&mut new[heir], episode),
            None => orphaned.extend(episode.alert),
        }
    }
    new
}

fn inherit(heir: &mut Episode, old: Episode) {
    if heir.summary.is_none() {
        heir.summary = old.summary;
    }
    let Some(old) = old.alert else { return };
    let Some(alert) = &mut heir.alert else {
        heir.alert = Some(old);
        return;
    };
    // Old episodes come in order of time, so of alerts raised together the earlier one stays.
    let superseded = if old.raised < alert.raised {
        std::mem::replace(alert, old)
    } else {
        old
    };
    alert.supersedes.push(superseded.id);
    alert.supersedes.extend(superseded.supersedes);
    alert.supersedes.sort_unstable();
    alert.superseded_rows.extend(superseded.row);
    alert.superseded_rows.extend(superseded.superseded_rows);
}
