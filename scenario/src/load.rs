//! An endless load of syslog lines, with alerts planted at a known rate.
//!
//! ```text
//! 6 of 10 lines   web requests and services: decoded and matched against rules, but no rule matches
//! 2 of 10         logins and refusals of users and addresses that never repeat: state to forget
//! 1 of 50         refusals from sixteen addresses that never stop: groups that grow without end
//! 10 of 5,000     refusals of one planted group; the tenth completes an alert
//! ```

use std::io::Write;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use weir_schema::{EventTime, Span};

use crate::lines::bsd_time;
use crate::random::{Zipf, seeded};

/// Lines from the start of one planted group to the start of the next.
pub const PLANT_EVERY: u64 = 5_000;
/// Lines from one event of a planted group to the next.
const PLANT_STEP: u64 = 100;
/// Threshold of `ssh_password_guessing.yml` ...
const THRESHOLD: u64 = 10;
/// ... and its timespan.
const TIMESPAN: Span = Span::seconds(300);
/// Addresses that log in again and again.
const HOT_SOURCES: u32 = 16;
const HOSTS: u32 = 100;

/// The alert of a planted group whose last line has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlantedAlert {
    /// Value of `src_ip`, the group of the rule.
    pub address: String,
    /// Index of the line that completes the alert, from 0.
    pub line: u64,
}

/// Counts the episodes of one hot address, from times in order.
#[derive(Clone, Debug, Default)]
struct HotSource {
    /// The last `THRESHOLD` times, oldest first.
    recent: std::collections::VecDeque<EventTime>,
    last_firing: Option<EventTime>,
}

impl HotSource {
    /// Whether the event starts an episode.
    fn raises(&mut self, time: EventTime) -> bool {
        self.recent.push_back(time);
        if self.recent.len() as u64 > THRESHOLD {
            self.recent.pop_front();
        }
        let full = self.recent.len() as u64 == THRESHOLD;
        if !full || self.recent[0] < time.minus(TIMESPAN) {
            return false;
        }
        let before = self.last_firing.replace(time);
        before.is_none_or(|before| before < time.minus(TIMESPAN))
    }
}

/// An endless stream of lines. The bytes depend only on the seed, and on the times and sizes of
/// the chunks.
#[derive(Clone, Debug)]
pub struct LoadStream {
    rng: ChaCha8Rng,
    hosts: Zipf,
    sources: Zipf,
    hot: Vec<HotSource>,
    /// The latest time so far in whole seconds, and its text.
    second: EventTime,
    stamp: String,
    lines: u64,
    fresh: u32,
    alerts: u64,
}

impl LoadStream {
    /// Makes a stream whose first lines are at `start`.
    #[must_use]
    pub fn new(seed: u64, start: EventTime) -> Self {
        let second = whole_second(start);
        Self {
            rng: seeded(seed, 20),
            hosts: Zipf::new(HOSTS, 1.05),
            sources: Zipf::new(HOT_SOURCES, 1.05),
            hot: vec![HotSource::default(); HOT_SOURCES as usize],
            second,
            stamp: bsd_time(second),
            lines: 0,
            fresh: 0,
            alerts: 0,
        }
    }

    /// Lines written so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Alerts that the lines written so far must have raised. This is exact as long as 1,000 lines
    /// take less than five minutes of event time.
    #[must_use]
    pub const fn alerts(&self) -> u64 {
        self.alerts
    }

    /// Appends `lines` lines of `time`, each with a final LF. `time` must never decrease.
    pub fn chunk(
        &mut self,
        time: EventTime,
        lines: u64,
        bytes: &mut Vec<u8>,
        completed: &mut Vec<PlantedAlert>,
    ) {
        let second = whole_second(time);
        if second > self.second {
            self.second = second;
            self.stamp = bsd_time(second);
        }
        for _ in 0..lines {
            self.line(bytes, completed);
            bytes.push(b'\n');
            self.lines += 1;
        }
    }

    fn line(&mut self, bytes: &mut Vec<u8>, completed: &mut Vec<PlantedAlert>) {
        let place = self.lines % PLANT_EVERY;
        let address = if place.is_multiple_of(PLANT_STEP) && place / PLANT_STEP < THRESHOLD {
            // A group has an address of 100.64.0.0/10, which no other line uses.
            let group = (self.lines / PLANT_EVERY) as u32 & 0x003f_ffff;
            let address = std::net::Ipv4Addr::from(0x6440_0000 | group);
            if place / PLANT_STEP == THRESHOLD - 1 {
                self.alerts += 1;
                completed.push(PlantedAlert {
                    address: address.to_string(),
                    line: self.lines,
                });
            }
            address
        } else {
            match self.rng.random_range(0..50_u32) {
                0 => {
                    let source = self.sources.draw(&mut self.rng);
                    self.alerts += u64::from(self.hot[source as usize].raises(self.second));
                    // 198.19.0.0/24
                    std::net::Ipv4Addr::from(0xc613_0000 | source)
                }
                1..=3 => self.fresh_address(),
                kind => return self.harmless(kind, bytes),
            }
        };
        let user = self.fresh_user();
        self.head(38, "sshd", bytes);
        let port = self.rng.random_range(32_768..61_000_u16);
        write(
            bytes,
            format_args!("Failed password for u{user} from {address} port {port} ssh2"),
        );
    }

    fn harmless(&mut self, kind: u32, bytes: &mut Vec<u8>) {
        match kind {
            4..=11 => {
                let (user, address) = (self.fresh_user(), self.fresh_address());
                self.head(38, "sshd", bytes);
                let port = self.rng.random_range(32_768..61_000_u16);
                write(
                    bytes,
                    format_args!(
                        "Accepted publickey for u{user} from {address} port {port} ssh2: ED25519 \
                     SHA256:7pQm3v0cX1yq9sKfJtZ2bWnLhDgRuEoAiVxN4kTl8Y"
                    ),
                );
            }
            12..=36 => {
                let client = self.rng.random_range(1..2_000_u32);
                let size = self.rng.random_range(200..90_000_u32);
                self.head(190, "nginx", bytes);
                write(
                    bytes,
                    format_args!(
                        "198.18.{}.{} - - [02/Mar/2026:08:00:00 +0000] \"GET /api/orders?page={} \
                         HTTP/1.1\" 200 {size} \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:141.0) \
                         Gecko/20100101 Firefox/141.0\"",
                        client >> 8,
                        client & 255,
                        size % 97
                    ),
                );
            }
            37..=43 => {
                let session = self.rng.random_range(100..99_999_u32);
                self.head(30, "systemd", bytes);
                write(
                    bytes,
                    format_args!("session-{session}.scope: Deactivated successfully."),
                );
            }
            _ => {
                let id = self.rng.random::<u16>();
                self.head(78, "CRON", bytes);
                write(
                    bytes,
                    format_args!("(root) CMD (/usr/lib/sysstat/debian-sa1 {id} 1)"),
                );
            }
        }
    }

    /// Writes `<PRI>time host program[pid]: `.
    fn head(&mut self, priority: u8, program: &str, bytes: &mut Vec<u8>) {
        let host = self.hosts.draw(&mut self.rng);
        let process = self.rng.random_range(700..64_000_u32);
        let stamp = &self.stamp;
        write(
            bytes,
            format_args!("<{priority}>{stamp} host-{host:03} {program}[{process}]: "),
        );
    }

    const fn fresh_user(&mut self) -> u32 {
        self.fresh = self.fresh.wrapping_add(1);
        self.fresh
    }

    /// Returns a new address, from 11.0.0.0 on. The first 1.4 billion are unique.
    const fn fresh_address(&mut self) -> std::net::Ipv4Addr {
        self.fresh = self.fresh.wrapping_add(1);
        std::net::Ipv4Addr::from_bits(0x0b00_0000_u32.wrapping_add(self.fresh))
    }
}

const fn whole_second(time: EventTime) -> EventTime {
    EventTime(
        time.0
            .div_euclid(Span::SECOND.0)
            .saturating_mul(Span::SECOND.0),
    )
}

fn write(bytes: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    bytes
        .write_fmt(text)
        .expect("a write to a vector cannot fail");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const START: EventTime = EventTime(1_772_438_400_000_000_000);

    fn load(seed: u64, seconds: i64, per_second: u64) -> (LoadStream, Vec<u8>, Vec<PlantedAlert>) {
        let (mut bytes, mut completed) = (Vec::new(), Vec::new());
        let mut stream = LoadStream::new(seed, START);
        for second in 0..seconds {
            let time = START.plus(Span::seconds(second));
            stream.chunk(time, per_second, &mut bytes, &mut completed);
        }
        (stream, bytes, completed)
    }

    #[test]
    fn loads_depend_on_the_seed() {
        assert!(load(1, 3, 20_000).1 == load(1, 3, 20_000).1);
        assert!(load(1, 3, 20_000).1 != load(2, 3, 20_000).1);
    }

    /// Recounts the alerts from the lines: how often each address was refused, and when.
    #[test]
    fn alert_counts_match_a_plain_loop_over_the_lines() {
        // In the second case hot addresses are silent for longer than the window.
        for (seed, seconds, per_second) in [(1, 4, 20_000), (2, 20_000, 5)] {
            let (stream, bytes, completed) = load(seed, seconds, per_second);
            let mut refused: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
            let text = std::str::from_utf8(&bytes).unwrap();
            let mut second = 0;
            let (mut stamp, mut lines) = ("", 0);
            for line in text.lines() {
                let (head, rest) = line.split_at(line.find("host-").unwrap());
                let now = head.split_once('>').unwrap().1;
                if now != stamp {
                    second += i64::from(!stamp.is_empty());
                    stamp = now;
                }
                lines += 1;
                if let Some((_, from)) = rest.split_once("Failed password for ") {
                    let address = from.split(' ').nth(2).unwrap();
                    refused.entry(address).or_default().push(second);
                }
            }
            assert_eq!(lines, stream.lines());
            let mut alerts = 0;
            for times in refused.values() {
                let firing = |at: &i64| {
                    times
                        .iter()
                        .filter(|t| (at - 300..=*at).contains(t))
                        .count()
                        >= 10
                };
                // Only earlier events count; later ones of the same second change nothing.
                let anchors: Vec<i64> = times.iter().copied().filter(firing).collect();
                alerts += u64::from(!anchors.is_empty());
                alerts += anchors
                    .windows(2)
                    .filter(|pair| pair[1] - pair[0] > 300)
                    .count() as u64;
            }
            assert_eq!(alerts, stream.alerts(), "seed {seed}");
            assert_eq!(
                completed.len() as u64,
                stream.lines() / PLANT_EVERY,
                "seed {seed}"
            );
        }
    }
}
