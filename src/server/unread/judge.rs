//! Decides which sources send too much that no reader knows. Pure: all that it knows is an argument.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_schema::condition::CONDITION_SUBJECTS_MAX;

use super::counts::SourceCount;
use crate::config::SelfAlertsConfig;

/// The bounds beyond which a source is over.
#[derive(Clone, Debug)]
pub struct UnreadBounds {
    /// A source with a larger share of unread events is over; 0 disables it.
    pub share_max: f64,
    /// Events in the window below which no source becomes over.
    pub events_min: u64,
    pub window: Duration,
    /// Sources that are never over.
    pub expected: BTreeSet<String>,
}

impl UnreadBounds {
    pub fn new(config: &SelfAlertsConfig) -> Self {
        Self {
            share_max: config.unread_share,
            events_min: config.unread_least,
            window: config.unread_window.to_std(),
            expected: config.unread_expected.iter().cloned().collect(),
        }
    }
}

/// The view of the judge at one moment.
#[derive(Clone, Copy, Debug)]
pub struct UnreadLook<'l> {
    /// How long this run has counted.
    pub up: Duration,
    pub sources: &'l [SourceCount],
    /// The subjects of the conditions that stand, those of earlier runs included.
    pub standing: &'l [String],
}

/// The decisions of one look.
#[derive(Clone, Debug, Default)]
pub struct UnreadVerdict {
    /// Sources that are over now.
    pub over: Vec<SourceCount>,
    /// Subjects that are no longer.
    pub ended: Vec<String>,
}

/// Judges one look. A source is over above the bound, and until below half of it.
///
/// A condition of an earlier run stands until this run has counted enough events of the source, or for
/// a whole window.
pub fn judge(bounds: &UnreadBounds, look: UnreadLook<'_>) -> UnreadVerdict {
    let mut verdict = UnreadVerdict::default();
    let room = CONDITION_SUBJECTS_MAX.saturating_sub(look.standing.len());
    for source in look.sources {
        let subject = source.name.to_string();
        let share = source.unread as f64 / source.events.max(1) as f64;
        let is_expected = bounds.expected.contains(&source.name.source);
        let is_counted = source.events >= bounds.events_min || look.up >= bounds.window;
        let is_watched = bounds.share_max > 0.0 && !is_expected;
        if look.standing.contains(&subject) {
            if is_watched && share >= bounds.share_max / 2.0 {
                verdict.over.push(source.clone());
            } else if !is_watched || is_counted {
                verdict.ended.push(subject);
            }
        } else if is_watched && source.events >= bounds.events_min && share > bounds.share_max {
            let begun = verdict.over.iter();
            let begun = begun.filter(|one| !look.standing.contains(&one.name.to_string()));
            if begun.count() < room {
                verdict.over.push(source.clone());
            }
        }
    }
    if look.up >= bounds.window {
        let is_sending = |subject: &&String| {
            let mut sources = look.sources.iter();
            sources.any(|source| source.name.to_string() == **subject)
        };
        let silent = look.standing.iter().filter(|one| !is_sending(one));
        verdict.ended.extend(silent.cloned());
    }
    verdict
}

#[cfg(test)]
mod tests {
    use weir_ingest::SourceName;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn bounds() -> UnreadBounds {
        UnreadBounds {
            share_max: 0.2,
            events_min: 1_000,
            window: HOUR,
            expected: BTreeSet::from(["lab".to_owned()]),
        }
    }

    fn source(name: &str, events: u64, unread: u64) -> SourceCount {
        SourceCount {
            name: SourceName {
                tenant: "default".to_owned(),
                source: name.to_owned(),
            },
            events,
            unread,
            samples: Vec::new(),
        }
    }

    /// The decisions: `+a` over, `-a` ended.
    fn decisions(up: Duration, sources: &[SourceCount], standing: &[&str]) -> String {
        let standing: Vec<String> = standing.iter().map(|one| (*one).to_owned()).collect();
        let verdict = judge(
            &bounds(),
            UnreadLook {
                up,
                sources,
                standing: &standing,
            },
        );
        let over = verdict.over.iter().map(|one| format!("+{}", one.name));
        let ended = verdict.ended.iter().map(|one| format!("-{one}"));
        over.chain(ended).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_source_is_over_above_the_bound_and_until_below_half_of_it() {
        let cases = [
            (1_000, 201, "+a", "+a"),
            (1_000, 200, "", "+a"),
            (1_000, 100, "", "+a"),
            (1_000, 99, "", "-a"),
            (999, 999, "", "+a"),
            (1_000, 0, "", "-a"),
        ];
        for (events, unread, new, known) in cases {
            let sources = [source("a", events, unread)];
            assert_eq!(decisions(HOUR, &sources, &[]), new, "{unread} of {events}");
            assert_eq!(
                decisions(HOUR, &sources, &["a"]),
                known,
                "{unread} of {events}"
            );
        }
    }

    #[test]
    fn what_an_earlier_run_found_stands_until_enough_was_counted() {
        let young = Duration::from_secs(60);
        assert_eq!(decisions(young, &[], &["a"]), "");
        assert_eq!(decisions(young, &[source("a", 10, 0)], &["a"]), "");
        assert_eq!(decisions(young, &[source("a", 1_000, 0)], &["a"]), "-a");
        assert_eq!(decisions(HOUR, &[source("a", 10, 0)], &["a"]), "-a");
        assert_eq!(decisions(HOUR, &[], &["a"]), "-a");
    }

    #[test]
    fn expected_sources_and_a_bound_of_zero_raise_nothing() {
        assert_eq!(decisions(HOUR, &[source("lab", 9_000, 9_000)], &[]), "");
        assert_eq!(
            decisions(HOUR, &[source("lab", 9_000, 9_000)], &["lab"]),
            "-lab"
        );
        let off = UnreadBounds {
            share_max: 0.0,
            ..bounds()
        };
        let look = UnreadLook {
            up: HOUR,
            sources: &[source("a", 9_000, 9_000)],
            standing: &[],
        };
        assert!(judge(&off, look).over.is_empty());
    }

    #[test]
    fn no_more_sources_are_over_than_conditions_have_subjects() {
        let sources: Vec<SourceCount> = (0..200)
            .map(|n| source(&format!("s{n}"), 1_000, 1_000))
            .collect();
        let look = UnreadLook {
            up: HOUR,
            sources: &sources,
            standing: &["s0".to_owned()],
        };
        let over = judge(&bounds(), look).over.len();
        assert_eq!(over, CONDITION_SUBJECTS_MAX);
    }
}
