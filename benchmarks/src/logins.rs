//! Logins as JSON lines, eight correlation rules over them, and what the rules must say, by plain
//! loops: for measuring correlation beside other engines, in order and out of it.
//!
//! Times are whole seconds, since the other engines count in seconds.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use weir_schema::{EventTime, Span};

use weir_scenario::random::{Zipf, scatter, seeded};

/// Second 0 of every stream: 2026-01-01, 00:00:00 UTC.
pub const START: EventTime = EventTime(1_767_225_600_000_000_000);

/// The log source under which the rules look for logins.
pub const LOGSOURCE: &str = "product=bench,service=login";

/// The users of the experiment on order ...
pub const SKEW_USERS: u32 = 2_000;
/// ... who log in so often, at least and at most, ...
pub const SKEW_LOGINS: (u32, u32) = (4, 8);
/// ... within so many seconds.
pub const SKEW_SECONDS: i64 = 300;
/// How late, in seconds, an event comes at most.
pub const SKEWS: [i64; 4] = [0, 30, 60, 300];

/// A login that succeeded or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: u32,
    /// After [`START`].
    pub second: i64,
    pub failed: bool,
    /// Which address it came from.
    pub source: u32,
    pub bytes: i64,
    /// What makes the lines of two logins two.
    pub session: u64,
}

impl Login {
    #[must_use]
    pub fn time(&self) -> EventTime {
        START.plus(Span::seconds(self.second))
    }

    /// The name of the user, as rules group by it.
    #[must_use]
    pub fn name(user: u32) -> String {
        format!("user-{user:06}")
    }

    /// The event as one line of JSON.
    #[must_use]
    pub fn line(&self) -> String {
        let seconds = START.0 / Span::SECOND.0 + self.second;
        let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let (name, outcome) = (Self::name(self.user), self.outcome());
        let [_, a, b, c] = self.source.to_be_bytes();
        format!(
            "{{\"timestamp\":\"{}\",\"host\":\"web-{:03}\",\"service\":\"sshd\",\"user\":\"{name}\",\
             \"source_ip\":\"10.{a}.{b}.{c}\",\"outcome\":\"{outcome}\",\"bytes\":{},\
             \"session\":\"{:016x}\",\"message\":\"{outcome} of a login by password for {name}\"}}",
            time.format("%Y-%m-%dT%H:%M:%SZ"),
            self.session % 200,
            self.bytes,
            self.session,
        )
    }

    const fn outcome(&self) -> &'static str {
        if self.failed { "failure" } else { "success" }
    }
}

/// A correlation type, with what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// So many logins.
    Count(usize),
    /// A failed login and one that succeeded.
    Both,
    /// A failed login, and then one that succeeded.
    Then,
    /// Logins from so many addresses.
    Sources(usize),
    /// Of the bytes, at least so much.
    Sum(i64),
    Average(i64),
    Median(i64),
    /// The ninetieth.
    Percentile(i64),
}

/// The rank of [`Asks::Percentile`].
const RANK: i64 = 90;

/// A correlation rule over logins, by user.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub asks: Asks,
    pub seconds: i64,
}

/// What the experiment on order asks: each of them of some users, and not of most.
pub const SKEW_RULES: [Asks; 8] = [
    Asks::Count(5),
    Asks::Both,
    Asks::Then,
    Asks::Sources(4),
    Asks::Sum(2_700),
    Asks::Average(960),
    Asks::Median(960),
    Asks::Percentile(980),
];

/// An alert that must stand: times are seconds after [`START`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    pub user: u32,
    pub first: i64,
    pub last: i64,
    pub count: u64,
}

impl Rule {
    /// The correlation's name in Sigma.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.asks {
            Asks::Count(_) => "event_count",
            Asks::Both => "temporal",
            Asks::Then => "temporal_ordered",
            Asks::Sources(_) => "value_count",
            Asks::Sum(_) => "value_sum",
            Asks::Average(_) => "value_avg",
            Asks::Median(_) => "value_median",
            Asks::Percentile(_) => "value_percentile",
        }
    }

    /// The documents of the correlation and of the rules that it reads.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let condition = match self.asks {
            Asks::Count(n) => format!("\n    condition:\n        gte: {n}"),
            Asks::Both => "\n    condition: failed and passed".to_owned(),
            Asks::Then => String::new(),
            Asks::Sources(n) => {
                format!("\n    condition:\n        field: source_ip\n        gte: {n}")
            }
            Asks::Sum(n) | Asks::Average(n) | Asks::Median(n) => {
                format!("\n    condition:\n        field: bytes\n        gte: {n}")
            }
            Asks::Percentile(n) => format!(
                "\n    condition:\n        field: bytes\n        gte: {n}\n        percentile: {RANK}"
            ),
        };
        let members: &[&str] = match self.asks {
            Asks::Both | Asks::Then => &["failed", "passed"],
            _ => &["login"],
        };
        let base = |name: &&str| {
            let (place, selection) = match *name {
                "failed" => (1, "outcome: failure"),
                "passed" => (2, "outcome: success"),
                _ => (3, "service: sshd"),
            };
            format!(
                "title: {name}\nid: 5f1d7a30-0c52-4b8e-9d7e-00000000000{place}\nname: {name}\n\
                 logsource:\n    product: bench\n    service: login\ndetection:\n    selection:\n\
                 \x20       {selection}\n    condition: selection\nlevel: informational\n"
            )
        };
        let mut texts: Vec<String> = members.iter().map(base).collect();
        let listed: String = members
            .iter()
            .map(|name| format!("\n        - {name}"))
            .collect();
        texts.push(format!(
            "title: {0} of logins\nid: 5f1d7a30-0c52-4b8e-9d7e-000000000010\nname: {0}_of_logins\n\
             correlation:\n    type: {0}\n    rules:{listed}\n    group-by:\n        - user\n    \
             timespan: {1}s{condition}\nlevel: medium\n",
            self.name(),
            self.seconds,
        ));
        texts
    }

    /// Whether the rule holds of a window that has at least one event; in order of time.
    fn fires(&self, window: &[Login]) -> bool {
        let mut bytes: Vec<i64> = window.iter().map(|login| login.bytes).collect();
        let len = bytes.len() as i64;
        // Times the whole of all ranks, so that nothing is divided.
        let mut percentile = |rank: i64, least: i64| {
            bytes.sort_unstable();
            let place = rank * (len - 1);
            let (low, part) = ((place / 100) as usize, place % 100);
            let high = (low + 1).min(bytes.len() - 1);
            bytes[low] * (100 - part) + bytes[high] * part >= least * 100
        };
        match self.asks {
            Asks::Count(least) => window.len() >= least,
            Asks::Both => window.iter().any(|a| a.failed) && window.iter().any(|a| !a.failed),
            Asks::Then => {
                let first = window
                    .iter()
                    .filter(|login| login.failed)
                    .map(|l| l.second)
                    .min();
                let last = window
                    .iter()
                    .filter(|login| !login.failed)
                    .map(|l| l.second)
                    .max();
                first.zip(last).is_some_and(|(first, last)| first <= last)
            }
            Asks::Sources(least) => {
                let mut sources: Vec<u32> = window.iter().map(|login| login.source).collect();
                sources.sort_unstable();
                sources.dedup();
                sources.len() >= least
            }
            Asks::Sum(least) => bytes.iter().sum::<i64>() >= least,
            Asks::Average(least) => bytes.iter().sum::<i64>() >= least * len,
            Asks::Median(least) => percentile(50, least),
            Asks::Percentile(least) => percentile(RANK, least),
        }
    }

    /// The alerts that must stand over `logins`, in whatever order they come: sorted.
    #[must_use]
    pub fn standing(&self, logins: &[Login]) -> Vec<Standing> {
        let mut users: BTreeMap<u32, Vec<Login>> = BTreeMap::new();
        for login in logins {
            users.entry(login.user).or_default().push(*login);
        }
        let mut standing = Vec::new();
        for (user, mut logins) in users {
            logins.sort_by_key(|login| login.second);
            let between = |from: i64, to: i64| {
                let low = logins.partition_point(|login| login.second < from);
                &logins[low..logins.partition_point(|login| login.second <= to)]
            };
            let mut anchors: Vec<i64> = logins.iter().map(|login| login.second).collect();
            anchors.dedup();
            let mut episodes: Vec<(i64, i64)> = Vec::new();
            for anchor in anchors {
                if !self.fires(between(anchor - self.seconds, anchor)) {
                    continue;
                }
                match episodes.last_mut() {
                    Some((_, to)) if anchor - *to <= self.seconds => *to = anchor,
                    _ => episodes.push((anchor, anchor)),
                }
            }
            standing.extend(episodes.into_iter().map(|(from, last)| {
                let events = between(from - self.seconds, last);
                let (first, count) = (events[0].second, events.len() as u64);
                Standing {
                    user,
                    first,
                    last,
                    count,
                }
            }));
        }
        standing
    }
}

/// The logins of the experiment on order, as they come when each is late by up to `skew` seconds.
#[must_use]
pub fn skewed(seed: u64, skew: i64) -> Vec<Login> {
    let mut rng = seeded(seed, 20);
    let mut logins = Vec::new();
    for user in 0..SKEW_USERS {
        for _ in 0..rng.random_range(SKEW_LOGINS.0..=SKEW_LOGINS.1) {
            logins.push(Login {
                user,
                second: rng.random_range(0..SKEW_SECONDS),
                failed: rng.random_ratio(4, 5),
                source: rng.random_range(0..8),
                bytes: rng.random_range(0..1_000),
                session: rng.random(),
            });
        }
    }
    logins.sort_by_key(|login| login.second);
    let mut rng = seeded(seed, 21);
    let mut arriving: Vec<(i64, Login)> = logins
        .into_iter()
        .map(|login| (login.second + rng.random_range(0..=skew), login))
        .collect();
    arriving.sort_by_key(|(arrival, _)| *arrival);
    arriving.into_iter().map(|(_, login)| login).collect()
}

/// What an endless stream of logins is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub users: u32,
    /// By zipf 1.05, so that of 50,000 users the first has 12 of a hundred logins; else all alike.
    pub is_skewed: bool,
    pub per_second: i64,
    /// Addresses that a user comes from.
    pub sources: u32,
    /// Whether one in a hundred is late by up to a minute.
    pub is_late: bool,
}

/// An endless stream of logins in order of arrival.
#[derive(Clone, Debug)]
pub struct LoginStream {
    shape: Shape,
    rng: ChaCha8Rng,
    late: ChaCha8Rng,
    zipf: Zipf,
    sequence: i64,
    seed: u64,
}

impl LoginStream {
    #[must_use]
    pub fn new(seed: u64, shape: Shape) -> Self {
        let exponent = if shape.is_skewed { 1.05 } else { 0.0 };
        Self {
            shape,
            rng: seeded(seed, 22),
            // Of its own, so that the same logins come in order and late.
            late: seeded(seed, 23),
            zipf: Zipf::new(shape.users, exponent),
            sequence: 0,
            seed,
        }
    }
}

impl Iterator for LoginStream {
    type Item = Login;

    /// Never `None`.
    fn next(&mut self) -> Option<Login> {
        let sequence = self.sequence;
        self.sequence += 1;
        let mut second = sequence / self.shape.per_second.max(1);
        if self.shape.is_late && self.late.random_ratio(1, 100) {
            second -= self.late.random_range(1..=60);
        }
        Some(Login {
            user: self.zipf.draw(&mut self.rng),
            second,
            failed: self.rng.random_ratio(9, 10),
            source: self.rng.random_range(0..self.shape.sources.max(1)),
            bytes: self.rng.random_range(0..1_000),
            session: scatter(sequence as u64 ^ self.seed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_logins_come_at_every_skew() {
        let sorted = |skew| {
            let mut logins = skewed(7, skew);
            logins.sort_by_key(|login| login.session);
            logins
        };
        assert_eq!(sorted(0), sorted(300));
        assert_ne!(skewed(7, 0), skewed(7, 300));
        assert!(skewed(7, 0).is_sorted_by_key(|login| login.second));
    }

    #[test]
    fn plain_loops_find_episodes() {
        let login = |second| Login {
            user: 1,
            second,
            failed: true,
            source: 0,
            bytes: 0,
            session: 0,
        };
        let rule = Rule {
            asks: Asks::Count(3),
            seconds: 60,
        };
        let found = |seconds: &[i64]| {
            let logins: Vec<Login> = seconds.iter().map(|second| login(*second)).collect();
            let rows = rule.standing(&logins).into_iter();
            rows.map(|row| (row.first, row.last, row.count))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&[0, 30, 60]), [(0, 60, 3)]);
        assert_eq!(found(&[0, 30, 61]), []);
        assert_eq!(found(&[61, 0, 2, 62, 1]), [(0, 62, 5)]);
        assert_eq!(found(&[0, 1, 2, 63, 64, 65]), [(0, 2, 3), (63, 65, 3)]);
    }
}
