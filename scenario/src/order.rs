//! The order experiment: groups at, and a hair beside, the edge of their windows, in any order.
//!
//! `w` is the timespan of both rules. Each group has one shape, and the shape says its alerts.

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
/// Groups begin within this long of the start.
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
    /// Each line comes up to this much after its time.
    Skewed(Span),
}

/// The two rules, as one YAML text. Read them with `--logsource product=order --time-field time`.
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
pub struct Standing {
    pub rule: &'static str,
    pub user: String,
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
}

impl Standing {
    /// As `weir replay --final` prints it, but for the key.
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

/// The lines of the experiment with its answer.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    /// In order of time.
    lines: Vec<(EventTime, String)>,
    /// Sorted by rule, group and first.
    pub standing: Vec<Standing>,
}

impl Order {
    /// The experiment of a seed, filled up to `lines_min` lines with some that no rule wants.
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

    /// The lines as they arrive, without their ends.
    #[must_use]
    pub fn arrive(&self, arrival: Arrival) -> Vec<&str> {
        let mut rng = seeded(self.seed, 31);
        let mut lines: Vec<(EventTime, &str)> = self
            .lines
            .iter()
            .map(|(time, line)| (*time, line.as_str()))
            .collect();
        match arrival {
            Arrival::InOrder => {}
            Arrival::Shuffled => lines.shuffle(&mut rng),
            Arrival::Skewed(most) => {
                for (time, _) in &mut lines {
                    *time = time.plus(Span(rng.random_range(0..=most.0.max(0))));
                }
                lines.sort_by_key(|(time, _)| *time);
            }
        }
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

struct Groups {
    rng: ChaCha8Rng,
    start: EventTime,
    lines: Vec<(EventTime, String)>,
    standing: Vec<Standing>,
}

impl Groups {
    fn write(&mut self, kind: &str, user: &str, time: EventTime) {
        // The number keeps lines apart; only shapes that want a repeat write a line twice.
        let n = self.lines.len();
        let time_text = nano_time(time);
        let line = json!({"time": time_text, "kind": kind, "user": user, "n": n}).to_string();
        self.lines.push((time, line));
    }

    fn base(&mut self) -> EventTime {
        self.start.plus(Span(self.rng.random_range(0..SPREAD.0)))
    }

    fn stand(&mut self, rule: &'static str, user: &str, base: EventTime, seen: (i64, i64, u64)) {
        self.standing.push(Standing {
            rule,
            user: user.to_owned(),
            first: base.plus(Span(seen.0)),
            last: base.plus(Span(seen.1)),
            count: seen.2,
        });
    }

    /// Five refusals within `W` are an alert. Offsets are from a base time, in nanoseconds.
    fn count(&mut self, n: u32) {
        let (user, base) = (format!("c{n:04}"), self.base());
        let mut inside = |events: usize, from: i64, to: i64| -> Vec<i64> {
            (0..events)
                .map(|_| self.rng.random_range(from..=to))
                .collect()
        };
        // Offsets of the events, and (first, last, count) of each alert.
        type Shape = (Vec<i64>, Vec<(i64, i64, u64)>);
        let (offsets, alerts): Shape = match n % 9 {
            // Too few.
            0 => (inside(4, 0, W), vec![]),
            // The window is closed at both ends.
            1 => ([vec![0, W], inside(3, 1, W - 1)].concat(), vec![(0, W, 5)]),
            // One nanosecond too far.
            2 => ([vec![0, W + 1], inside(3, 1, W)].concat(), vec![]),
            // Many at once.
            3 => {
                let offsets = inside(5 + n as usize % 7, 0, W / 2);
                let (first, last) = (offsets.iter().min(), offsets.iter().max());
                let alert = (
                    *first.unwrap_or(&0),
                    *last.unwrap_or(&0),
                    offsets.len() as u64,
                );
                (offsets, vec![alert])
            }
            // All at one instant.
            4 => (vec![0; 5], vec![(0, 0, 5)]),
            // Two that would fire alone, whose firings lie just within a window: one episode.
            5 => ([vec![0; 5], vec![W; 5]].concat(), vec![(0, W, 10)]),
            // The same, one nanosecond further apart: two.
            6 => {
                let far = W + 1;
                (
                    [vec![0; 5], vec![far; 5]].concat(),
                    vec![(0, 0, 5), (far, far, 5)],
                )
            }
            // One that comes too late to belong.
            7 => ([vec![0; 5], vec![W + 1]].concat(), vec![(0, 0, 5)]),
            // Four lines, one of which came twice: equal lines count again.
            _ => (vec![0, 1, 2, W], vec![(0, W, 5)]),
        };
        for offset in &offsets {
            self.write("refusal", &user, base.plus(Span(*offset)));
        }
        if n % 9 == 8
            && let Some(last) = self.lines.last().cloned()
        {
            self.lines.push(last);
        }
        for alert in alerts {
            self.stand(COUNT_ID, &user, base, alert);
        }
    }

    /// A command at `t` is an alert unless a permit lies in `[t - W, t]`.
    fn temporal(&mut self, n: u32) {
        let (user, base) = (format!("t{n:04}"), self.base());
        type Shape = (&'static [i64], &'static [i64], &'static [(i64, i64, u64)]);
        // Offsets of the commands, of the permits, and (first, last, count) of each alert.
        let (commands, permits, alerts): Shape = match n % 8 {
            0 => (&[0], &[], &[(0, 0, 1)]),
            // The permit is as old as it may be, then a nanosecond older.
            1 => (&[0], &[-W], &[]),
            2 => (&[0], &[-W - 1], &[(0, 0, 1)]),
            // The permit comes at once, then a nanosecond too late.
            3 => (&[0], &[0], &[]),
            4 => (&[0], &[1], &[(0, 0, 1)]),
            // The first command is permitted; the second is not, and its window holds the first.
            5 => (&[10, W + 1], &[0], &[(10, W + 1, 2)]),
            // Two commands are one episode while their firings lie within a window.
            6 => (&[0, W], &[], &[(0, W, 2)]),
            _ => (&[0, W + 1], &[], &[(0, 0, 1), (W + 1, W + 1, 1)]),
        };
        for (kind, offsets) in [("command", commands), ("permit", permits)] {
            for offset in offsets {
                self.write(kind, &user, base.plus(Span(*offset)));
            }
        }
        for alert in alerts {
            self.stand(TEMPORAL_ID, &user, base, *alert);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: EventTime = EventTime(1_772_438_400_000_000_000);

    #[test]
    fn every_arrival_brings_the_same_lines() {
        let order = Order::new(9, START, 20_000);
        let sorted = |arrival| {
            let mut lines = order.arrive(arrival);
            lines.sort_unstable();
            lines
        };
        let in_order = order.arrive(Arrival::InOrder);
        assert_eq!(in_order.len(), 20_000);
        for arrival in [Arrival::Shuffled, Arrival::Skewed(Span::seconds(300))] {
            assert_ne!(order.arrive(arrival), in_order);
            assert_eq!(sorted(arrival), sorted(Arrival::InOrder));
            assert_eq!(
                order.arrive(arrival),
                Order::new(9, START, 20_000).arrive(arrival)
            );
        }
    }

    /// Reads the lines back and looks at every window of every user.
    #[test]
    fn what_stands_is_what_plain_loops_over_the_lines_find() {
        for seed in [1, 9] {
            let order = Order::new(seed, START, 0);
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
                    standing.push(Standing {
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
