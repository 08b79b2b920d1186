//! Random stories: events in and out of order, rules that change, sources that fall silent.

use std::fmt::Write;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A rule, the events it reads, and edits of it.
struct RuleKind {
    rule: &'static str,
    events: &'static [(&'static str, &'static str)],
    /// Further fields; each event has one of them.
    fields: &'static [&'static str],
    edits: &'static [&'static str],
}

const KINDS: &[RuleKind] = &[
    RuleKind {
        rule: "failed_logins",
        events: &[("vpn", "login.failed")],
        fields: &[],
        edits: &[
            "gte=2",
            "gte=3",
            "gte=4",
            "level=high",
            "timespan=2m",
            "timespan=30s",
        ],
    },
    RuleKind {
        rule: "failed_pair",
        events: &[("vpn", "login.failed")],
        fields: &[],
        edits: &["eq=1", "eq=3", "level=high", "timespan=2m"],
    },
    RuleKind {
        rule: "console_without_sso",
        events: &[("aws", "console.login"), ("okta", "sso.grant")],
        fields: &[],
        edits: &["level=high", "timespan=2m", "timespan=1m"],
    },
    RuleKind {
        rule: "reset_and_abroad",
        events: &[("idp", "mfa.reset"), ("vpn", "login.abroad")],
        fields: &[],
        edits: &["level=low", "timespan=1m"],
    },
    RuleKind {
        rule: "new_admin",
        events: &[("ad", "group.add")],
        fields: &[],
        edits: &["level=low"],
    },
    RuleKind {
        rule: "two_or_three",
        events: &[("hr", "lookup")],
        fields: &[],
        edits: &["gte=1", "lte=4", "lte=2", "level=high", "timespan=2m"],
    },
    RuleKind {
        rule: "nobody_came",
        events: &[("console", "login"), ("door", "badge"), ("desk", "pass")],
        fields: &[],
        edits: &["level=low", "timespan=1m"],
    },
    RuleKind {
        rule: "password_spray",
        events: &[("vpn", "login.failed")],
        fields: &["src=a", "src=b"],
        edits: &["gte=2", "level=low", "timespan=2m"],
    },
    RuleKind {
        rule: "upload_volume",
        events: &[("proxy", "upload")],
        fields: &["bytes=400", "bytes=700", "bytes=-300", "bytes=lots"],
        edits: &["gte=500", "gte=1500", "timespan=1m"],
    },
    RuleKind {
        rule: "upload_average",
        events: &[("proxy", "upload")],
        fields: &["bytes=700", "bytes=1200", "bytes=2000"],
        edits: &["gte=900", "timespan=1m", "level=high"],
    },
    RuleKind {
        rule: "three_steps",
        events: &[("ids", "scan"), ("vpn", "login"), ("nas", "copy")],
        fields: &["src=a"],
        edits: &["timespan=1m", "level=low"],
    },
];

const SECOND: u64 = 1_000_000_000;

/// The state of a story while it is written.
struct Writer {
    random: StdRng,
    text: String,
    /// The time of the last line.
    line: u64,
    /// Rules in place, and whether each runs.
    placed: Vec<(usize, bool)>,
    stalled: Vec<&'static str>,
    /// Sources that have sent events.
    active: Vec<&'static str>,
    /// Events so far, as rule, user and time.
    events: Vec<(usize, &'static str, u64)>,
}

/// The text of a story.
pub fn story(seed: u64) -> String {
    let mut writer = Writer {
        random: StdRng::seed_from_u64(seed),
        text: String::new(),
        line: 10 * 3600 * SECOND,
        placed: Vec::new(),
        stalled: Vec::new(),
        active: Vec::new(),
        events: Vec::new(),
    };
    let horizon = ["", "2m", "5m", "20m"][writer.random.random_range(0..4)];
    if !horizon.is_empty() {
        writer.step(format!("horizon {horizon}"));
    }
    let kinds = 1 + writer.random.random_range(0..3);
    for kind in rand::seq::index::sample(&mut writer.random, KINDS.len(), kinds) {
        writer.step(format!("rule + {}", KINDS[kind].rule));
        writer.placed.push((kind, true));
    }
    for chapter in 0..writer.random.random_range(3..12) {
        writer.chapter(chapter == 0);
    }
    writer.text
}

impl Writer {
    fn step(&mut self, step: String) {
        writeln!(self.text, "    {step}").expect("writing to a string cannot fail");
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn chapter(&mut self, first: bool) {
        if !first {
            self.changes();
        }
        let far = if self.chance(10) { 3600 } else { 150 };
        let closes = self.line + self.random.random_range(1..far) * SECOND;
        let mut events = Vec::new();
        for _ in 0..self.random.random_range(0..7) {
            if let Some(event) = self.event(closes, first) {
                events.push(event);
            }
        }
        events.sort();
        let place = self.random.random_range(0..=events.len());
        for (at, (time, event)) in events.into_iter().enumerate() {
            if at == place && self.chance(15) {
                self.step("restart".to_owned());
            }
            let late = if !first && time < self.line {
                "  late"
            } else {
                ""
            };
            self.step(format!("{}  {event}{late}", clock(time)));
        }
        self.step(format!("---- {}", clock(closes)));
        self.step("? rows".to_owned());
        self.text.push('\n');
        self.line = closes;
    }

    fn event(&mut self, closes: u64, first: bool) -> Option<(u64, String)> {
        let (kind, _) = self.placed[self.random.random_range(0..self.placed.len())];
        let events = KINDS[kind].events;
        let (source, name) = events[self.random.random_range(0..events.len())];
        if self.stalled.contains(&source) {
            return None;
        }
        if !self.active.contains(&source) {
            self.active.push(source);
        }
        let mut user = ["ann", "bob"][self.random.random_range(0..2)];
        let now = if first { closes } else { self.line };
        let time = match self.random.random_range(0..100) {
            // Around the windows of recent events, on whole and half seconds.
            0..35 => now - self.random.random_range(0..300) * SECOND / 2,
            35..45 => now - self.random.random_range(0..1800) * SECOND,
            45..48 => now - self.random.random_range(0..6) * 60 * SECOND,
            48..90 => now + (closes - now) * self.random.random_range(0..=20) / 20,
            90..97 => closes + self.random.random_range(0..90) * SECOND,
            _ => closes + self.random.random_range(280..3000) * SECOND,
        };
        let between = self.between(kind).filter(|_| self.chance(20));
        let time = between.map_or(time, |(who, time)| {
            user = who;
            time
        });
        self.events.push((kind, user, time));
        let times = match self.random.random_range(0..10) {
            // Repeats may not cross the last line.
            _ if time < now && time + 30 * SECOND >= now => "",
            0 => "  x 2 every 0s",
            1 => "  x 3 every 10s",
            2 => "  x 4 every 1s",
            _ => "",
        };
        let fields = KINDS[kind].fields;
        let more = match fields.len() {
            0 => "",
            len => fields[self.random.random_range(0..len)],
        };
        let more = if more.is_empty() {
            String::new()
        } else {
            format!("  {more}")
        };
        Some((time, format!("{source}  {name}  user={user}{more}{times}")))
    }

    /// A time half way between two events of a user, where an event may merge two episodes.
    fn between(&mut self, kind: usize) -> Option<(&'static str, u64)> {
        let alike: Vec<(&'static str, u64)> = self
            .events
            .iter()
            .filter(|(known, ..)| *known == kind)
            .map(|(_, user, time)| (*user, *time))
            .collect();
        let (user, one) = *alike.get(self.random.random_range(0..=alike.len()))?;
        let (other, two) = *alike.get(self.random.random_range(0..=alike.len()))?;
        (user == other).then_some((user, one.midpoint(two)))
    }

    fn changes(&mut self) {
        if self.chance(12) {
            self.step("restart".to_owned());
        }
        if self.chance(20)
            && let Some(source) = self.stalled.pop()
        {
            self.step(format!("resume {source}"));
        } else if self.chance(15) {
            let awake: Vec<&'static str> = self
                .active
                .iter()
                .filter(|source| !self.stalled.contains(source))
                .copied()
                .collect();
            if !awake.is_empty() {
                let source = awake[self.random.random_range(0..awake.len())];
                self.step(format!("stall {source}"));
                self.stalled.push(source);
            }
        }
        if self.chance(25) {
            self.rule();
        }
    }

    fn rule(&mut self) {
        let at = self.random.random_range(0..self.placed.len());
        let (kind, runs) = self.placed[at];
        let RuleKind { rule, edits, .. } = KINDS[kind];
        match self.random.random_range(0..10) {
            0 if runs => {
                self.step(format!("rule - {rule}"));
                self.placed[at].1 = false;
            }
            1 | 2 if runs => {
                self.step(format!("rule - {rule}  disabled"));
                self.placed[at].1 = false;
            }
            // No system claims to handle a stop that moves back behind the horizon.
            3 if runs => {
                self.step(format!("rule + {rule}  backfill=5m"));
                self.placed[at].1 = true;
            }
            4 => {
                self.step(format!("rule + {rule}"));
                self.placed[at].1 = true;
            }
            _ => {
                let edit = edits[self.random.random_range(0..edits.len())];
                self.step(format!("rule + {rule}  {edit}"));
                self.placed[at].1 = true;
            }
        }
    }
}

fn clock(time: u64) -> String {
    let seconds = time / SECOND;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let (day, hour) = (h / 24, h % 24);
    let day = if day == 0 {
        String::new()
    } else {
        format!("D+{day} ")
    };
    let part = time % SECOND;
    if part == 0 {
        format!("{day}{hour:02}:{m:02}:{s:02}")
    } else {
        format!("{day}{hour:02}:{m:02}:{s:02}.{part:09}")
    }
}
