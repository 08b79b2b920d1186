//! Logins as JSON lines, correlation rules over them, and the alerts that plain loops find.
//!
//! They compare correlation with other engines, for events in order and out of order. Times are
//! whole seconds, since the other engines count in seconds.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use weir_schema::{EventTime, Span};

use weir_scenario::random::{Zipf, scatter, seeded};

/// Second 0 of every stream: 2026-01-01, 00:00:00 UTC.
pub const START: EventTime = EventTime(1_767_225_600_000_000_000);

/// Log source of the logins.
pub const LOGSOURCE: &str = "product=bench,service=login";

/// Number of users in the experiment on order.
pub const SKEW_USERS: u32 = 2_000;
/// Least and greatest number of logins of a user.
pub const SKEW_LOGINS: (u32, u32) = (4, 8);
/// Logins lie within this many seconds.
pub const SKEW_SECONDS: i64 = 300;
/// Maximum delays of an event, in seconds.
pub const SKEWS: [i64; 4] = [0, 30, 60, 300];

/// A login that succeeded or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: u32,
    /// Seconds after [`START`].
    pub second: i64,
    pub failed: bool,
    /// The address, as a number.
    pub source: u32,
    pub bytes: i64,
    /// Makes the line of the login unique.
    pub session: u64,
}

impl Login {
    #[must_use]
    pub fn time(&self) -> EventTime {
        START.plus(Span::seconds(self.second))
    }

    /// The name of a user, by which rules group.
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

/// A correlation type with its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginCondition {
    /// At least this many logins.
    Count(usize),
    /// A failed and a successful login.
    Both,
    /// A failed login, and then a successful one.
    Then,
    /// Logins from at least this many addresses.
    Sources(usize),
    /// At least this sum of the bytes.
    Sum(i64),
    /// At least this average of the bytes.
    Average(i64),
    /// At least this median of the bytes.
    Median(i64),
    /// At least this 90th percentile of the bytes.
    Percentile(i64),
}

/// The rank of [`LoginCondition::Percentile`].
const RANK: i64 = 90;

/// A correlation rule over logins, by user.
#[derive(Clone, Copy, Debug)]
pub struct LoginRule {
    pub condition: LoginCondition,
    pub seconds: i64,
}

/// Conditions of the experiment on order: each holds for some users, and not for most.
pub const SKEW_RULES: [LoginCondition; 8] = [
    LoginCondition::Count(5),
    LoginCondition::Both,
    LoginCondition::Then,
    LoginCondition::Sources(4),
    LoginCondition::Sum(2_700),
    LoginCondition::Average(960),
    LoginCondition::Median(960),
    LoginCondition::Percentile(980),
];

/// An alert that must stand: times are seconds after [`START`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoginAlert {
    pub user: u32,
    pub first: i64,
    pub last: i64,
    pub count: u64,
}

impl LoginRule {
    /// The name of the correlation type in Sigma.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.condition {
            LoginCondition::Count(_) => "event_count",
            LoginCondition::Both => "temporal",
            LoginCondition::Then => "temporal_ordered",
            LoginCondition::Sources(_) => "value_count",
            LoginCondition::Sum(_) => "value_sum",
            LoginCondition::Average(_) => "value_avg",
            LoginCondition::Median(_) => "value_median",
            LoginCondition::Percentile(_) => "value_percentile",
        }
    }

    /// The documents of the correlation and of its member rules.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let condition = match self.condition {
            LoginCondition::Count(n) => format!("\n    condition:\n        gte: {n}"),
            LoginCondition::Both => "\n    condition: failed and passed".to_owned(),
            LoginCondition::Then => String::new(),
            LoginCondition::Sources(n) => {
                format!("\n    condition:\n        field: source_ip\n        gte: {n}")
            }
            LoginCondition::Sum(n) | LoginCondition::Average(n) | LoginCondition::Median(n) => {
                format!("\n    condition:\n        field: bytes\n        gte: {n}")
            }
            LoginCondition::Percentile(n) => format!(
                "\n    condition:\n        field: bytes\n        gte: {n}\n        percentile: {RANK}"
            ),
        };
        let members: &[&str] = match self.condition {
            LoginCondition::Both | LoginCondition::Then => &["failed", "passed"],
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

    /// Whether the rule fires for a window of at least one event, sorted by time.
    fn fires(&self, window: &[Login]) -> bool {
        let mut bytes: Vec<i64> = window.iter().map(|login| login.bytes).collect();
        let len = bytes.len() as i64;
        // Both sides are multiplied by 100, so nothing is divided.
        let mut percentile = |rank: i64, least: i64| {
            bytes.sort_unstable();
            let place = rank * (len - 1);
            let (low, part) = ((place / 100) as usize, place % 100);
            let high = (low + 1).min(bytes.len() - 1);
            bytes[low] * (100 - part) + bytes[high] * part >= least * 100
        };
        match self.condition {
            LoginCondition::Count(least) => window.len() >= least,
            LoginCondition::Both => {
                window.iter().any(|a| a.failed) && window.iter().any(|a| !a.failed)
            }
            LoginCondition::Then => {
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
            LoginCondition::Sources(least) => {
                let mut sources: Vec<u32> = window.iter().map(|login| login.source).collect();
                sources.sort_unstable();
                sources.dedup();
                sources.len() >= least
            }
            LoginCondition::Sum(least) => bytes.iter().sum::<i64>() >= least,
            LoginCondition::Average(least) => bytes.iter().sum::<i64>() >= least * len,
            LoginCondition::Median(least) => percentile(50, least),
            LoginCondition::Percentile(least) => percentile(RANK, least),
        }
    }

    /// The alerts that must stand over `logins` in any order, sorted.
    #[must_use]
    pub fn standing(&self, logins: &[Login]) -> Vec<LoginAlert> {
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
                LoginAlert {
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

/// The logins of the experiment on order, in order of arrival, each late by up to `skew` seconds.
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

/// Properties of a stream of logins.
#[derive(Clone, Copy, Debug)]
pub struct StreamShape {
    pub users: u32,
    /// Whether users follow zipf 1.05 (the first of 50,000 then has 12 % of the logins); else all
    /// are equally frequent.
    pub is_skewed: bool,
    pub per_second: i64,
    /// Number of addresses of a user.
    pub sources: u32,
    /// Whether one login in a hundred is late by up to a minute.
    pub is_late: bool,
}

/// An endless stream of logins in order of arrival.
#[derive(Clone, Debug)]
pub struct LoginStream {
    shape: StreamShape,
    rng: ChaCha8Rng,
    late: ChaCha8Rng,
    zipf: Zipf,
    sequence: i64,
    seed: u64,
}

impl LoginStream {
    #[must_use]
    pub fn new(seed: u64, shape: StreamShape) -> Self {
        let exponent = if shape.is_skewed { 1.05 } else { 0.0 };
        Self {
            shape,
            rng: seeded(seed, 22),
            // A stream of its own, so that the logins are the same in order and late.
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
    fn skews_change_only_the_order() {
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
        let rule = LoginRule {
            condition: LoginCondition::Count(3),
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
