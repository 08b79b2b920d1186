//! The order experiment: groups at the edges of their windows, and just beyond, in any order.
//!
//! `W` is the timespan of both rules. Each group has one shape, which determines its alerts.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use weir_schema::{EventTime, Span};

use crate::lines::nano_time;
use crate::random::seeded;

/// Groups of the count rule.
pub const COUNT_GROUPS: u32 = 1_200;
/// Groups of the temporal rule.
pub const TEMPORAL_GROUPS: u32 = 600;
/// Timespan of both rules.
pub const TIMESPAN: Span = Span::seconds(60);
/// Groups start within this time.
const SPREAD: Span = Span::seconds(3_600);

const W: i64 = TIMESPAN.0;
const COUNT_ID: &str = "0f4f5d0e-7f0c-4a43-9d5c-0b1f5b3f7a01";
const COUNT_TITLE: &str = "Five refusals within a minute";
const TEMPORAL_ID: &str = "0f4f5d0e-7f0c-4a43-9d5c-0b1f5b3f7a02";
const TEMPORAL_TITLE: &str = "Command without a permit";

/// The order in which lines arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    InOrder,
    Shuffled,
    /// Each line arrives up to this long after its time.
    Skewed(Span),
}

/// Both rules as one YAML text, for `--logsource product=order --time-field time`.
pub const RULES: &str = "\
title: Refusal
id: 0f4f5d0e-7f0c-4a43-9d5c-0b1f5b3f7a11
name: refusal
logsource:
    product: order
detection:
    selection:
        kind: refusal
    condition: selection
level: informational
---
title: Five refusals within a minute
id: 0f4f5d0e-7f0c-4a43-9d5c-0b1f5b3f7a01
name: five_refusals
correlation:
    type: event_count
    rules:
        - refusal
    group-by:
        - user
    timespan: 1m
    condition:
        gte: 5
level: medium
---
title: Command
id: 0f4f5d0e-7f0c-4a43-9d5c-0b1f5b3f7a12
name: command
logsource:
    product: order
detection:
    selection:
        kind: command
    condition: selection
level: informational
---
title: Permit
id: 0f4f5d0e-7f0c-4a43-9d5c-0b1f5b3f7a13
name: permit
logsource:
    product: order
detection:
    selection:
        kind: permit
    condition: selection
level: informational
---
title: Command without a permit
id: 0f4f5d0e-7f0c-4a43-9d5c-0b1f5b3f7a02
name: command_without_permit
correlation:
    type: temporal
    rules:
        - command
        - permit
    group-by:
        - user
    timespan: 1m
    condition: command and not permit
level: high
";

/// An alert that must stand at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderAlert {
    pub rule: &'static str,
    pub user: String,
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
}

impl OrderAlert {
    /// The alert as `weir replay --final` prints it, without the key.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (title, level) = if self.rule == COUNT_ID {
            (COUNT_TITLE, "medium")
        } else {
            (TEMPORAL_TITLE, "high")
        };
        json!({
            "rule": self.rule,
            "title": title,
            "level": level,
            "group": { "user": self.user },
            "first": nano_time(self.first),
            "last": nano_time(self.last),
            "count": self.count,
        })
    }
}

/// Lines of the experiment, with the expected alerts.
#[derive(Clone, Debug)]
pub struct OrderExperiment {
    seed: u64,
    /// Sorted by time.
    lines: Vec<(EventTime, String)>,
    /// Sorted by rule, group and first event.
    pub standing: Vec<OrderAlert>,
}

impl OrderExperiment {
    /// Generates the experiment of a seed, with at least `lines_min` lines; no rule matches those
    /// that are added.
    #[must_use]
    pub fn new(seed: u64, start: EventTime, lines_min: usize) -> Self {
        let mut groups = Groups {
            rng: seeded(seed, 30),
            start,
            lines: Vec::new(),
            standing: Vec::new(),
        };
        for n in 0..COUNT_GROUPS {
            groups.count(n);
        }
        for n in 0..TEMPORAL_GROUPS {
            groups.temporal(n);
        }
        while groups.lines.len() < lines_min {
            let at = groups.rng.random_range(0..SPREAD.0);
            let user = format!("quiet{:03}", groups.rng.random_range(0..1_000));
            groups.write("success", &user, start.plus(Span(at)));
        }
        groups.lines.sort_by_key(|(time, _)| *time);
        groups.standing.sort();
        Self {
            seed,
            lines: groups.lines,
            standing: groups.standing,
        }
    }

    /// Returns the lines in order of arrival, without line ends.
    #[must_use]
    pub fn lines_in(&self, arrival: Arrival) -> Vec<&str> {
        let mut rng = seeded(self.seed, 31);
        let mut lines: Vec<(EventTime, &str)> = self
            .lines
            .iter()
            .map(|(time, line)| (*time, line.as_str()))
            .collect();
        match arrival {
            Arrival::InOrder => {}
            Arrival::Shuffled => lines.shuffle(&mut rng),
            Arrival::Skewed(delay_max) => {
                for (time, _) in &mut lines {
                    *time = time.plus(Span(rng.random_range(0..=delay_max.0.max(0))));
                }
                lines.sort_by_key(|(time, _)| *time);
            }
        }
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

/// Times relative to a base time, in nanoseconds, and the number of events.
#[derive(Clone, Copy)]
struct AlertOffsets {
    first: i64,
    last: i64,
    count: u64,
}

const fn offsets(first: i64, last: i64, count: u64) -> AlertOffsets {
    AlertOffsets { first, last, count }
}

/// The groups written so far.
struct Groups {
    rng: ChaCha8Rng,
    start: EventTime,
    lines: Vec<(EventTime, String)>,
    standing: Vec<OrderAlert>,
}

impl Groups {
    fn write(&mut self, kind: &str, user: &str, time: EventTime) {
        // The number makes lines unique. Only shapes with a repeat write a line twice.
        let n = self.lines.len();
        let time_text = nano_time(time);
        let line = json!({"time": time_text, "kind": kind, "user": user, "n": n}).to_string();
        self.lines.push((time, line));
    }

    fn base(&mut self) -> EventTime {
        self.start.plus(Span(self.rng.random_range(0..SPREAD.0)))
    }

    fn expect(&mut self, rule: &'static str, user: &str, base: EventTime, alert: AlertOffsets) {
        self.standing.push(OrderAlert {
            rule,
            user: user.to_owned(),
            first: base.plus(Span(alert.first)),
            last: base.plus(Span(alert.last)),
            count: alert.count,
        });
    }

    /// Writes a group of the count rule: five refusals within `W` are an alert.
    fn count(&mut self, n: u32) {
        let (user, base) = (format!("c{n:04}"), self.base());
        let mut inside = |events: usize, from: i64, to: i64| -> Vec<i64> {
            (0..events)
                .map(|_| self.rng.random_range(from..=to))
                .collect()
        };
        // Offsets of the events, and the alerts.
        type Shape = (Vec<i64>, Vec<AlertOffsets>);
        let (events, alerts): Shape = match n % 9 {
            // Too few.
            0 => (inside(4, 0, W), vec![]),
            // A window includes both ends.
            1 => (
                [vec![0, W], inside(3, 1, W - 1)].concat(),
                vec![offsets(0, W, 5)],
            ),
            // One nanosecond too far.
            2 => ([vec![0, W + 1], inside(3, 1, W)].concat(), vec![]),
            // Many at once.
            3 => {
                let events = inside(5 + n as usize % 7, 0, W / 2);
                let (first, last) = (events.iter().min(), events.iter().max());
                let (first, last) = (*first.unwrap_or(&0), *last.unwrap_or(&0));
                let alert = offsets(first, last, events.len() as u64);
                (events, vec![alert])
            }
            // All at one instant.
            4 => (vec![0; 5], vec![offsets(0, 0, 5)]),
            // Two bursts that each fire, just within one window: one episode.
            5 => ([vec![0; 5], vec![W; 5]].concat(), vec![offsets(0, W, 10)]),
            // The same, one nanosecond further apart: two episodes.
            6 => {
                let far = W + 1;
                (
                    [vec![0; 5], vec![far; 5]].concat(),
                    vec![offsets(0, 0, 5), offsets(far, far, 5)],
                )
            }
            // One event just after the window.
            7 => ([vec![0; 5], vec![W + 1]].concat(), vec![offsets(0, 0, 5)]),
            // Four lines, one of them twice: equal lines count again.
            _ => (vec![0, 1, 2, W], vec![offsets(0, W, 5)]),
        };
        for offset in &events {
            self.write("refusal", &user, base.plus(Span(*offset)));
        }
        if n % 9 == 8
            && let Some(last) = self.lines.last().cloned()
        {
            self.lines.push(last);
        }
        for alert in alerts {
            self.expect(COUNT_ID, &user, base, alert);
        }
    }

    /// Writes a group of the temporal rule: a command at `t` is an alert unless a permit lies in
    /// `[t - W, t]`.
    fn temporal(&mut self, n: u32) {
        let (user, base) = (format!("t{n:04}"), self.base());
        // Offsets of the commands and of the permits, and the alerts.
        type Shape = (&'static [i64], &'static [i64], Vec<AlertOffsets>);
        let (commands, permits, alerts): Shape = match n % 8 {
            0 => (&[0], &[], vec![offsets(0, 0, 1)]),
            // The permit is as old as allowed, then a nanosecond older.
            1 => (&[0], &[-W], vec![]),
            2 => (&[0], &[-W - 1], vec![offsets(0, 0, 1)]),
            // The permit comes at the same time, then a nanosecond too late.
            3 => (&[0], &[0], vec![]),
            4 => (&[0], &[1], vec![offsets(0, 0, 1)]),
            // The first command is permitted, the second is not; its window includes the first.
            5 => (&[10, W + 1], &[0], vec![offsets(10, W + 1, 2)]),
            // Two commands within a window are one episode.
            6 => (&[0, W], &[], vec![offsets(0, W, 2)]),
            _ => (
                &[0, W + 1],
                &[],
                vec![offsets(0, 0, 1), offsets(W + 1, W + 1, 1)],
            ),
        };
        for (kind, offsets) in [("command", commands), ("permit", permits)] {
            for offset in offsets {
                self.write(kind, &user, base.plus(Span(*offset)));
            }
        }
        for alert in alerts {
            self.expect(TEMPORAL_ID, &user, base, alert);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: EventTime = EventTime(1_772_438_400_000_000_000);

    #[test]
    fn arrivals_differ_only_in_order() {
        let order = OrderExperiment::new(9, START, 20_000);
        let sorted = |arrival| {
            let mut lines = order.lines_in(arrival);
            lines.sort_unstable();
            lines
        };
        let in_order = order.lines_in(Arrival::InOrder);
        assert_eq!(in_order.len(), 20_000);
        for arrival in [Arrival::Shuffled, Arrival::Skewed(Span::seconds(300))] {
            assert_ne!(order.lines_in(arrival), in_order);
            assert_eq!(sorted(arrival), sorted(Arrival::InOrder));
            assert_eq!(
                order.lines_in(arrival),
                OrderExperiment::new(9, START, 20_000).lines_in(arrival)
            );
        }
    }

    /// Parses the lines and checks every window of every user.
    #[test]
    fn expected_alerts_match_plain_loops_over_the_lines() {
        for seed in [1, 9] {
            let order = OrderExperiment::new(seed, START, 0);
            let mut users = std::collections::BTreeMap::<String, Vec<(i64, String)>>::new();
            for (time, line) in &order.lines {
                let line: Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| line[name].as_str().unwrap().to_owned();
                assert_eq!(text("time"), nano_time(*time));
                users
                    .entry(text("user"))
                    .or_default()
                    .push((time.0, text("kind")));
            }
            let mut standing = Vec::new();
            for (user, events) in users {
                let rule = if user.starts_with('c') {
                    COUNT_ID
                } else {
                    TEMPORAL_ID
                };
                let window = |t: i64| {
                    events
                        .iter()
                        .filter(move |(at, _)| t - W <= *at && *at <= t)
                };
                let number = |t: i64, kind: &str| window(t).filter(|(_, k)| k == kind).count();
                let mut anchors: Vec<i64> = events
                    .iter()
                    .map(|(t, _)| *t)
                    .filter(|&t| {
                        number(t, "refusal") >= 5
                            || number(t, "command") > 0
                                && number(t, "permit") == 0
                                && events.contains(&(t, "command".into()))
                    })
                    .collect();
                anchors.dedup();
                for episode in anchors.chunk_by(|a, b| b - a <= W) {
                    let inside: Vec<i64> = events
                        .iter()
                        .map(|(at, _)| *at)
                        .filter(|at| episode.iter().any(|t| t - W <= *at && at <= t))
                        .collect();
                    standing.push(OrderAlert {
                        rule,
                        user: user.clone(),
                        first: EventTime(inside[0]),
                        last: EventTime(inside[inside.len() - 1]),
                        count: inside.len() as u64,
                    });
                }
            }
            standing.sort();
            assert!(standing.len() > 1_000, "{}", standing.len());
            assert_eq!(standing, order.standing, "seed {seed}");
        }
    }
}
