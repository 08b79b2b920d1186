//! Finds parts that make no progress while they have work. Pure: its clock is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

/// A part without progress for this long is reported.
pub const STALL_AFTER: Duration = Duration::from_secs(30);

/// Most time that one look adds. If this process itself did not run, as under a debugger or a
/// paused machine, no part is at fault.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The progress of a part at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartLook {
    pub part: String,
    /// Counts up with each step. A failed try that will be repeated is a step.
    pub steps: u64,
    /// The work before it, in words. `None` while it has none, or waits for another part.
    pub work: Option<String>,
}

/// A part that makes no progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    pub part: String,
    pub lasts: Duration,
    /// The work before it.
    pub work: String,
}

impl Stall {
    /// The reason, as health checks and the log state it.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self { part, lasts, work } = self;
        format!(
            "{part} makes no progress for {} s; before it: {work}",
            lasts.as_secs()
        )
    }
}

/// Watches the progress of parts.
#[derive(Debug, Default)]
pub struct StallWatch {
    parts: BTreeMap<String, PartState>,
    last: Option<Duration>,
}

#[derive(Debug)]
struct PartState {
    steps: u64,
    without_progress: Duration,
    work: String,
}

impl StallWatch {
    /// Looks at all parts at `now`, a time that only rises.
    pub fn look(&mut self, now: Duration, looks: Vec<PartLook>) {
        let passed = now.saturating_sub(self.last.unwrap_or(now)).min(LOOK_MAX);
        self.last = Some(now);
        let mut before = std::mem::take(&mut self.parts);
        for look in looks {
            let Some(work) = look.work else { continue };
            let known = before.remove(&look.part);
            let same = known.filter(|known| known.steps == look.steps);
            let without_progress = same.map_or(Duration::ZERO, |s| s.without_progress + passed);
            let state = PartState {
                steps: look.steps,
                without_progress,
                work,
            };
            self.parts.insert(look.part, state);
        }
    }

    /// The part that has made no progress for longest, if that is at least `least`.
    #[must_use]
    pub fn longest(&self, least: Duration) -> Option<Stall> {
        let (part, state) = self
            .parts
            .iter()
            .max_by_key(|(_, state)| state.without_progress)?;
        (state.without_progress >= least).then(|| Stall {
            part: part.clone(),
            lasts: state.without_progress,
            work: state.work.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// The behaviour of a part from a second on.
    #[derive(Clone, Copy, Debug)]
    enum Behaviour {
        Works,
        /// Each try fails, and is repeated every so many seconds.
        Fails {
            every: u64,
        },
        /// Stands still for so many seconds.
        Stalls {
            seconds: u64,
        },
        /// Waits for another part.
        Waits,
        Idle,
    }

    /// From which second on the part was unhealthy, and whether it reached the limit.
    #[derive(Debug, PartialEq, Eq)]
    struct Outcome {
        unhealthy: Option<u64>,
        reached_limit: bool,
        healthy_at_end: bool,
    }

    const WELL: Outcome = Outcome {
        unhealthy: None,
        reached_limit: false,
        healthy_at_end: true,
    };

    /// Simulates 300 seconds of one part beside another that works.
    fn simulate(part: &str, behaviour: Behaviour) -> Outcome {
        let mut watch = StallWatch::default();
        let mut steps = 0;
        let (mut unhealthy, mut reached_limit) = (None, false);
        for second in 0..300 {
            let work = Some("3 epochs".to_owned());
            let mut look = PartLook {
                part: part.to_owned(),
                steps: 0,
                work,
            };
            match behaviour {
                Behaviour::Works => steps += 10,
                Behaviour::Fails { every } => steps += u64::from(second % every == 0),
                Behaviour::Stalls { seconds } => steps += u64::from(second >= seconds),
                Behaviour::Waits | Behaviour::Idle => look.work = None,
            }
            look.steps = steps;
            let other = PartLook {
                part: "other".to_owned(),
                steps: second,
                work: Some("work".to_owned()),
            };
            watch.look(Duration::from_secs(second), vec![look, other]);
            if let Some(stall) = watch.longest(STALL_AFTER) {
                assert_eq!(stall.part, part);
                unhealthy.get_or_insert(second);
            }
            reached_limit |= watch.longest(LIMIT).is_some();
        }
        Outcome {
            unhealthy,
            reached_limit,
            healthy_at_end: watch.longest(STALL_AFTER).is_none(),
        }
    }

    /// W6, W15: each part times stalls, fails once, for a minute, for ever, recovers.
    #[test]
    fn a_part_that_stalls_is_unhealthy_and_one_that_fails_is_not() {
        for part in [
            "the journal writer",
            "the graph",
            "the committer",
            "the sink `x`",
        ] {
            for well in [
                Behaviour::Works,
                Behaviour::Waits,
                Behaviour::Idle,
                // Fails for ever, and is tried again: an outage, and not a stall.
                Behaviour::Fails { every: 1 },
                Behaviour::Fails { every: 20 },
                Behaviour::Stalls { seconds: 1 },
                Behaviour::Stalls { seconds: 30 },
            ] {
                assert_eq!(simulate(part, well), WELL, "{part}: {well:?}");
            }
            let minute = Behaviour::Stalls { seconds: 55 };
            let recovered = Outcome {
                unhealthy: Some(30),
                reached_limit: false,
                healthy_at_end: true,
            };
            assert_eq!(simulate(part, minute), recovered, "{part}");
            let for_ever = Behaviour::Stalls { seconds: u64::MAX };
            let hopeless = Outcome {
                unhealthy: Some(30),
                reached_limit: true,
                healthy_at_end: false,
            };
            assert_eq!(simulate(part, for_ever), hopeless, "{part}");
        }
    }

    #[test]
    fn a_reason_names_part_duration_and_work() {
        let mut watch = StallWatch::default();
        for second in 0..=31 {
            let look = PartLook {
                part: "the graph".to_owned(),
                steps: 7,
                work: Some("12 epochs".to_owned()),
            };
            watch.look(Duration::from_secs(second), vec![look]);
        }
        let stall = watch.longest(STALL_AFTER).expect("it stalls");
        let expected = "the graph makes no progress for 31 s; before it: 12 epochs";
        assert_eq!(stall.reason(), expected);
    }

    #[test]
    fn a_process_that_did_not_run_blames_no_part() {
        let mut watch = StallWatch::default();
        let look = || PartLook {
            part: "the graph".to_owned(),
            steps: 7,
            work: Some("1 epoch".to_owned()),
        };
        watch.look(Duration::from_secs(0), vec![look()]);
        watch.look(Duration::from_secs(3_600), vec![look()]);
        assert_eq!(watch.longest(STALL_AFTER), None);
    }

    #[test]
    fn work_in_one_long_epoch_is_progress() {
        let mut watch = StallWatch::default();
        for second in 0..600 {
            let look = PartLook {
                part: "the graph".to_owned(),
                // Each batch and each group is a step, though the epoch stays the same.
                steps: second / 29,
                work: Some("1 epoch".to_owned()),
            };
            watch.look(Duration::from_secs(second), vec![look]);
            assert_eq!(watch.longest(STALL_AFTER), None);
        }
    }
}
