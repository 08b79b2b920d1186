//! Events that do not stand at the time that they state.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_schema::HostKey;

use super::*;

/// Marked events of a host of a source, received at `now`; late ones state `stated`.
#[derive(Clone, Copy, Debug)]
struct Case {
    source: u64,
    host: Option<u64>,
    now: i64,
    mark: TimeMark,
    stated: i64,
}

impl MonitorRun {
    fn marked(&mut self, case: Case) -> SourceNote {
        let batch = self.batch(case.source, case.now, case.now, 1);
        SourceNote::Marked(MarkedFrames {
            tenant: TENANT,
            source: batch.source,
            host: case.host.map(HostKey),
            received: batch.received,
            mark: case.mark,
            stated: EventTime(case.stated * 1_000_000_000),
            first: batch.newest,
            events: 1,
        })
    }

    /// The standing alerts: name and count, sorted.
    fn counts(&self) -> Vec<(&'static str, u64)> {
        let rows = self.standing.keys().map(|(row, _)| {
            let problem = SourceProblem::from_plan(row.plan).expect("a built-in rule");
            (problem.name(), row.count)
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        rows
    }
}

const FUTURE: Case = Case {
    source: 1,
    host: None,
    now: 100,
    mark: TimeMark::NotCredible,
    stated: 100,
};

fn settled(seconds: i64) -> SourceNote {
    SourceNote::Settled {
        tenant: TENANT,
        settled: EventTime(seconds * 1_000_000_000),
    }
}

#[test]
fn the_first_event_raises_an_alert_and_an_hour_without_retracts_it() {
    let mut run = MonitorRun::begin(BOUNDS);
    let note = run.marked(FUTURE);
    run.epoch(vec![note]);
    assert_eq!(run.counts(), [("time_not_credible", 1)]);
    for _ in 0..6 {
        let note = run.marked(FUTURE);
        run.epoch(vec![note]);
    }
    // A count is told at powers of two, and kept exactly.
    assert_eq!(run.counts(), [("time_not_credible", 4)]);
    run.tick(100 + 3_600);
    assert_eq!(run.counts().len(), 1);
    run.tick(100 + 3_601);
    assert!(run.counts().is_empty());
    assert!(matches!(run.retracted[..], [Cause::Clock(_)]));
    assert_eq!(run.marked[&(SourceKey(1), TimeMark::NotCredible)], 7);
}

#[test]
fn an_event_is_late_by_the_line_of_the_epoch_before() {
    let mut run = MonitorRun::begin(BOUNDS);
    let late = |stated| Case {
        mark: TimeMark::LateBeyondHorizon,
        stated,
        ..FUTURE
    };
    let note = run.marked(late(49));
    run.epoch(vec![settled(50), note]);
    assert!(run.counts().is_empty(), "the line came with it");
    let notes = vec![run.marked(late(50)), run.marked(late(51))];
    run.epoch(notes);
    assert!(run.counts().is_empty(), "at the line");
    let note = run.marked(late(49));
    run.epoch(vec![note]);
    assert_eq!(run.counts(), [("beyond_horizon", 1)]);
}

#[test]
fn hosts_behind_a_relay_have_alerts_of_their_own_up_to_a_limit() {
    let mut run = MonitorRun::begin(BOUNDS);
    for host in 0..100 {
        let note = run.marked(Case {
            host: Some(host),
            ..FUTURE
        });
        run.epoch(vec![note]);
    }
    // 64 hosts, and the source with the 36 others, of which 32 are told.
    let counts = run.counts();
    assert_eq!(counts.len(), 65);
    assert_eq!(counts[64], ("time_not_credible", 32));
    run.tick(100 + 3_601);
    assert!(run.counts().is_empty());
    let note = run.marked(Case {
        host: Some(70),
        now: 4_000,
        ..FUTURE
    });
    run.epoch(vec![note]);
    let groups: Vec<_> = run.standing.keys().map(|(row, _)| row.group).collect();
    let id = |host| SourceId {
        tenant: TENANT,
        source: SourceKey(1),
        host,
    };
    assert_eq!(groups, [id(Some(HostKey(70))).group()]);
    assert_ne!(groups, [id(None).group()]);
}

/// Plain loops over all events: the subjects with an event in the last hour, each with the power of
/// two in its count since it last had none for an hour.
fn expected(cases: &[Case], now: i64) -> Vec<(&'static str, u64)> {
    let mut rows = Vec::new();
    for source in 0..3 {
        for host in [None, Some(0), Some(1)] {
            for mark in TimeMark::ALL {
                let of = |case: &&Case| (case.source, case.host, case.mark) == (source, host, mark);
                let (mut count, mut last) = (0_u64, None);
                for case in cases.iter().filter(of) {
                    let is_over = last.is_some_and(|last: i64| last + 3_600 < case.now);
                    count = if is_over { 1 } else { count + 1 };
                    last = Some(case.now);
                }
                if last.is_some_and(|last| last + 3_600 >= now) {
                    let name = SourceProblem::of_mark(mark).name();
                    rows.push((name, 1 << count.ilog2()));
                }
            }
        }
    }
    rows.sort_unstable();
    rows
}

#[test]
fn random_histories_equal_plain_loops_in_any_epochs() {
    let mut raised = 0;
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut run = MonitorRun::begin(BOUNDS);
        let (mut now, mut line, mut counted) = (10_000, 0, Vec::new());
        for _ in 0..30 {
            now += [1, 60, 1_800, 4_000][rng.random_range(0..4)];
            let mut notes = vec![SourceNote::Now(at(now))];
            // The passing of time is noticed before what comes with the next epoch.
            run.epoch(std::mem::take(&mut notes));
            for _ in 0..rng.random_range(0..4) {
                let case = Case {
                    source: rng.random_range(0..3),
                    host: [None, Some(0), Some(1)][rng.random_range(0..3)],
                    now,
                    mark: TimeMark::ALL[rng.random_range(0..2)],
                    stated: now - rng.random_range(0..200),
                };
                notes.push(run.marked(case));
                if case.mark == TimeMark::NotCredible || case.stated < line {
                    counted.push(case);
                }
            }
            if rng.random_bool(0.5) {
                line = now - 100;
                notes.push(settled(line));
            }
            run.epoch(notes);
            assert_eq!(run.counts(), expected(&counted, now), "seed {seed}");
            raised += run.counts().len();
        }
    }
    assert!(raised > 10_000, "{raised}");
}
