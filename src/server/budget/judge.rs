//! Decides which rules take too much, and which are suspended. Pure: its clock is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_schema::RuleId;

/// The bounds of a rule's share, each between 0 and 1; 0 disables it.
#[derive(Clone, Copy, Debug)]
pub struct BudgetBounds {
    /// A rule above this raises an alert.
    pub share_max: f64,
    /// While alerts are late, rules are suspended that are above this, alone or together.
    pub suspend_share: f64,
    /// Rules that let one worker judge as many events a second are not suspended: then it is the
    /// number of events that makes alerts late, and not what a rule does with one.
    pub suspend_speed: f64,
    /// The time over which shares are taken, and for which they must have been measured.
    pub window: Duration,
}

/// The part of the bound from which a rule counts among those that are together above it. Rules
/// below it are the many of an ordinary load: suspending them would blind Weir and help little.
const TOGETHER_PART: f64 = 0.1;

/// The view of the judge at one moment.
#[derive(Clone, Copy, Debug)]
pub struct BudgetLook<'l> {
    pub now: Duration,
    /// Shares over the window that ends now.
    pub shares: &'l BTreeMap<RuleId, f64>,
    /// The wall time of all workers for each event of that window, in seconds.
    pub wall_time_per_event: f64,
    /// Whether acknowledged events wait too long for their alerts.
    pub is_late: bool,
    /// Whether the journal of earlier runs is being replayed.
    pub is_replaying: bool,
}

/// A rule and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct HeavyRule {
    pub rule: RuleId,
    pub share: f64,
}

/// The decisions of one look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetVerdict {
    /// Rules that are over budget now.
    pub over: Vec<HeavyRule>,
    /// Rules that are no longer.
    pub over_no_more: Vec<RuleId>,
    /// The rules to suspend, the heaviest first.
    pub suspend: Vec<HeavyRule>,
    /// The share of the rules that are together above the bound; `None` if one is so alone.
    pub together: Option<f64>,
}

/// Judges the shares of rules, look after look.
///
/// **Invariants.** Nothing is decided during a replay, nor before one window was measured since.
/// A rule that is above the bound alone is suspended alone, and none within a window after: what
/// is left is measured without it first.
#[derive(Debug)]
pub struct BudgetJudge {
    bounds: BudgetBounds,
    over: BTreeSet<RuleId>,
    /// Since when shares are measured that count: since the replay, or the last suspension.
    measured_since: Option<Duration>,
    suspended: BTreeSet<RuleId>,
}

impl BudgetJudge {
    #[must_use]
    pub fn new(bounds: BudgetBounds) -> Self {
        Self {
            bounds,
            over: BTreeSet::new(),
            measured_since: None,
            suspended: BTreeSet::new(),
        }
    }

    /// Judges one look.
    pub fn judge(&mut self, look: BudgetLook<'_>) -> BudgetVerdict {
        if look.is_replaying {
            self.measured_since = None;
            return BudgetVerdict::default();
        }
        let since = *self.measured_since.get_or_insert(look.now);
        let is_measured = look.now.saturating_sub(since) >= self.bounds.window;
        if is_measured {
            self.suspended.clear();
        }
        let (over, over_no_more) = self.judge_over(look, is_measured);
        let mut verdict = BudgetVerdict {
            over,
            over_no_more,
            ..BudgetVerdict::default()
        };
        if is_measured && look.is_late {
            self.suspend(look, &mut verdict);
        }
        if !verdict.suspend.is_empty() {
            self.measured_since = Some(look.now);
            let rules = verdict.suspend.iter();
            self.suspended.extend(rules.map(|heavy| heavy.rule.clone()));
        }
        verdict
    }

    /// The rules over budget: above the bound, and until below half of it.
    fn judge_over(
        &mut self,
        look: BudgetLook<'_>,
        is_measured: bool,
    ) -> (Vec<HeavyRule>, Vec<RuleId>) {
        let bound = self.bounds.share_max;
        let mut over = Vec::new();
        for (rule, share) in look.shares {
            let known = self.over.contains(rule);
            let is_over = match known {
                true => *share >= bound / 2.0,
                false => *share > bound && is_measured && !self.suspended.contains(rule),
            };
            if bound > 0.0 && is_over {
                over.push(HeavyRule {
                    rule: RuleId::clone(rule),
                    share: *share,
                });
            }
        }
        let now: BTreeSet<RuleId> = over.iter().map(|heavy| heavy.rule.clone()).collect();
        let before = std::mem::replace(&mut self.over, now);
        let ended = before.difference(&self.over).cloned().collect();
        (over, ended)
    }

    /// The rules to suspend: the one that is above the bound alone, or else the heaviest of those
    /// that are so together, until the others are not.
    fn suspend(&self, look: BudgetLook<'_>, verdict: &mut BudgetVerdict) {
        let bound = self.bounds.suspend_share;
        if bound <= 0.0 {
            return;
        }
        let shares = look.shares.iter();
        let heavy = shares.filter(|(_, share)| **share >= bound * TOGETHER_PART);
        let mut heavy: Vec<HeavyRule> = heavy
            .map(|(rule, share)| HeavyRule {
                rule: RuleId::clone(rule),
                share: *share,
            })
            .collect();
        // The sort is stable: of equal shares the first rule by id.
        heavy.sort_by(|a, b| b.share.total_cmp(&a.share));
        let is_slow =
            |share: f64| share * look.wall_time_per_event * self.bounds.suspend_speed > 1.0;
        if let Some(first) = heavy.first()
            && first.share > bound
        {
            heavy.truncate(usize::from(is_slow(first.share)));
            verdict.suspend = heavy;
            return;
        }
        let mut together: f64 = heavy.iter().map(|heavy| heavy.share).sum();
        if !is_slow(together) {
            return;
        }
        verdict.together = (together > bound).then_some(together);
        for rule in heavy {
            if together <= bound {
                return;
            }
            together -= rule.share;
            verdict.suspend.push(rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: BudgetBounds = BudgetBounds {
        share_max: 0.2,
        suspend_share: 0.5,
        suspend_speed: 100_000.0,
        window: Duration::from_secs(30),
    };

    /// Two workers that judge 500 events a second together.
    const SLOW: f64 = 0.004;

    /// A stretch of seconds with the same look: rules by percent.
    struct Stretch {
        seconds: u64,
        percent: &'static [(&'static str, u32)],
        late: bool,
        replay: bool,
        wall_time_per_event: f64,
    }

    fn stretch(seconds: u64, percent: &'static [(&'static str, u32)], late: bool) -> Stretch {
        Stretch {
            seconds,
            percent,
            late,
            replay: false,
            wall_time_per_event: SLOW,
        }
    }

    /// The decisions with their seconds: `+r` over budget, `-r` no more, `!r` suspended.
    fn decisions(stretches: &[Stretch]) -> String {
        let mut judge = BudgetJudge::new(BOUNDS);
        let mut now = 0;
        let mut over: BTreeSet<RuleId> = BTreeSet::new();
        let mut found = Vec::new();
        for stretch in stretches {
            let shares = stretch.percent.iter();
            let shares = shares
                .map(|(rule, percent)| (RuleId::from(*rule), f64::from(*percent) / 100.0))
                .collect();
            for _ in 0..stretch.seconds {
                let verdict = judge.judge(BudgetLook {
                    now: Duration::from_secs(now),
                    shares: &shares,
                    wall_time_per_event: stretch.wall_time_per_event,
                    is_late: stretch.late,
                    is_replaying: stretch.replay,
                });
                for heavy in verdict.over {
                    if over.insert(heavy.rule.clone()) {
                        found.push(format!("{now}+{}", heavy.rule));
                    }
                }
                for rule in verdict.over_no_more {
                    over.remove(&rule);
                    found.push(format!("{now}-{rule}"));
                }
                let suspend = verdict.suspend.iter();
                found.extend(suspend.map(|heavy| format!("{now}!{}", heavy.rule)));
                now += 1;
            }
        }
        found.join(" ")
    }

    /// Looks at late alerts with these shares for 100 seconds.
    fn assert_nothing_is_decided(bounds: BudgetBounds, shares: &BTreeMap<RuleId, f64>) {
        let mut judge = BudgetJudge::new(bounds);
        for now in 0..100 {
            let verdict = judge.judge(BudgetLook {
                now: Duration::from_secs(now),
                shares,
                wall_time_per_event: SLOW,
                is_late: true,
                is_replaying: false,
            });
            assert_eq!(verdict, BudgetVerdict::default());
        }
    }

    #[test]
    fn nothing_is_decided_before_a_whole_window_was_measured() {
        assert_eq!(decisions(&[stretch(30, &[("a", 90)], true)]), "");
        assert_eq!(decisions(&[stretch(31, &[("a", 90)], true)]), "30+a 30!a");
    }

    #[test]
    fn a_rule_is_never_suspended_while_alerts_are_in_time() {
        assert_eq!(decisions(&[stretch(600, &[("a", 99)], false)]), "30+a");
    }

    #[test]
    fn nothing_is_decided_during_a_replay_nor_in_the_window_after_it() {
        let replay = Stretch {
            seconds: 500,
            percent: &[("a", 99)],
            late: true,
            replay: true,
            wall_time_per_event: SLOW,
        };
        let after = stretch(31, &[("a", 99)], true);
        assert_eq!(decisions(&[replay, after]), "530+a 530!a");
    }

    #[test]
    fn only_the_heaviest_rule_is_suspended() {
        let both = stretch(31, &[("a", 30), ("b", 55), ("c", 10)], true);
        assert_eq!(decisions(&[both]), "30+a 30+b 30!b");
    }

    #[test]
    fn a_suspended_rule_is_not_suspended_twice_while_its_time_leaves_the_window() {
        let heavy = stretch(31, &[("a", 90)], true);
        let leaving = stretch(20, &[("a", 60)], true);
        let gone = stretch(100, &[], true);
        assert_eq!(decisions(&[heavy, leaving, gone]), "30+a 30!a 51-a");
    }

    /// W12: eight rules of 7 to 10 % each stall all as one of 68 % does.
    #[test]
    fn of_rules_that_are_heavy_together_the_heaviest_are_suspended_until_the_others_are_not() {
        const EIGHT: [(&str, u32); 9] = [
            ("a", 10),
            ("b", 9),
            ("c", 9),
            ("d", 9),
            ("e", 8),
            ("f", 8),
            ("g", 8),
            ("h", 7),
            ("small", 4),
        ];
        assert_eq!(decisions(&[stretch(31, &EIGHT, false)]), "", "in time");
        assert_eq!(decisions(&[stretch(31, &EIGHT, true)]), "30!a 30!b");
        // The others take the time that is free, so they are judged anew after a window.
        let others = stretch(45, &[("c", 15), ("d", 15), ("e", 14), ("f", 13)], true);
        let judged = decisions(&[stretch(31, &EIGHT, true), others]);
        assert_eq!(judged, "30!a 30!b 60!c");
    }

    /// Whoever sends many lines that a rule reads must not stop the rule by it.
    #[test]
    fn a_flood_suspends_no_rule_that_judges_an_event_fast() {
        let flood = |percent| Stretch {
            wall_time_per_event: 2.0 / 330_000.0,
            ..stretch(200, percent, true)
        };
        assert_eq!(decisions(&[flood(&[("a", 63)])]), "30+a");
        let together = flood(&[("a", 30), ("b", 19), ("c", 18)]);
        assert_eq!(decisions(&[together]), "30+a");
        let slow = Stretch {
            wall_time_per_event: 2.0 / 50_000.0,
            ..stretch(31, &[("a", 63)], true)
        };
        assert_eq!(decisions(&[slow]), "30+a 30!a", "25 µs for each event");
    }

    #[test]
    fn the_many_rules_of_an_ordinary_load_are_never_suspended() {
        let names: Vec<String> = (0..24).map(|n| format!("r{n}")).collect();
        let shares = names.iter().map(|name| (RuleId::from(name.as_str()), 0.04));
        let shares: BTreeMap<RuleId, f64> = shares.collect();
        assert_nothing_is_decided(BOUNDS, &shares);
    }

    #[test]
    fn a_second_heavy_rule_is_suspended_a_window_after_the_first() {
        let both = stretch(31, &[("a", 51), ("b", 49)], true);
        let second = stretch(40, &[("b", 95)], true);
        assert_eq!(decisions(&[both, second]), "30+a 30+b 30!a 31-a 60!b");
    }

    #[test]
    fn a_rule_that_a_person_starts_again_is_measured_anew() {
        let heavy = stretch(31, &[("a", 90)], true);
        let gone = stretch(60, &[], false);
        let again = stretch(10, &[("a", 90)], true);
        assert_eq!(decisions(&[heavy, gone, again]), "30+a 30!a 31-a 91+a 91!a");
    }

    #[test]
    fn a_rule_over_budget_stays_so_until_it_is_below_half_of_it() {
        let low = &[("a", 15)];
        let stretches = [
            stretch(31, &[("a", 25)], false),
            stretch(9, low, false),
            stretch(10, &[("a", 9)], false),
            stretch(10, low, false),
            stretch(10, &[("a", 21)], false),
        ];
        assert_eq!(decisions(&stretches), "30+a 40-a 60+a");
    }

    #[test]
    fn bounds_of_zero_decide_nothing() {
        let bounds = BudgetBounds {
            share_max: 0.0,
            suspend_share: 0.0,
            ..BOUNDS
        };
        let shares = BTreeMap::from([(RuleId::from("a"), 1.0)]);
        assert_nothing_is_decided(bounds, &shares);
    }
}
