//! Measures both engines in turn, in CPU time of this thread.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};

/// CPU time and wall-clock time of one round.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub cpu_s: f64,
    pub wall_s: f64,
}

/// CPU seconds of this thread, which the kernel counts in nanoseconds.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ran = text.split(' ').next().context("schedstat is empty")?;
    Ok(ran.parse::<f64>()? / 1e9)
}

/// Times `f`, which returns a number of matches.
pub fn time(f: impl FnOnce() -> usize) -> Result<(Timing, usize)> {
    let (wall, cpu) = (Instant::now(), cpu_seconds()?);
    let matches = f();
    let timing = Timing {
        cpu_s: cpu_seconds()? - cpu,
        wall_s: wall.elapsed().as_secs_f64(),
    };
    Ok((timing, matches))
}

/// Comparison of both engines over the same events.
pub struct Race {
    pub name: String,
    pub events: usize,
    pub bytes: usize,
    pub matches: [usize; 2],
    /// Rounds of Weir, and of rsigma-eval.
    pub rounds: [Vec<Timing>; 2],
}

impl Race {
    /// Runs `rounds` rounds of each engine in turn. The preparation of a round is not measured.
    pub fn run(
        name: impl Into<String>,
        events: usize,
        bytes: usize,
        rounds: usize,
        weir: &mut dyn FnMut() -> Result<(Timing, usize)>,
        rsigma: &mut dyn FnMut() -> Result<(Timing, usize)>,
    ) -> Result<Self> {
        let mut race = Self {
            name: name.into(),
            events,
            bytes,
            matches: [weir()?.1, rsigma()?.1],
            rounds: [Vec::new(), Vec::new()],
        };
        for _ in 0..rounds {
            race.rounds[0].push(weir()?.0);
            race.rounds[1].push(rsigma()?.0);
        }
        println!("{}", race.row());
        Ok(race)
    }

    /// Least, median and greatest events per CPU second.
    fn rates(&self, engine: usize) -> [f64; 3] {
        let rate = |timing: &Timing| self.events as f64 / timing.cpu_s;
        let mut rates: Vec<f64> = self.rounds[engine].iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        let last = rates.len() - 1;
        [rates[0], rates[last / 2], rates[last]]
    }

    /// Ratio of the medians, between the least and greatest ratio of a round to the next one of
    /// rsigma-eval.
    fn ratios(&self) -> [f64; 3] {
        let [weir, rsigma] = &self.rounds;
        let pairs = weir.iter().zip(rsigma).map(|(a, b)| b.cpu_s / a.cpu_s);
        let (least, most) = pairs.fold((f64::MAX, 0.0_f64), |(least, most), ratio| {
            (least.min(ratio), most.max(ratio))
        });
        [least, self.rates(0)[1] / self.rates(1)[1], most]
    }

    fn row(&self) -> String {
        let rate = |[least, median, most]: [f64; 3]| {
            format!("{} ({} to {})", short(median), short(least), short(most))
        };
        let [least, ratio, most] = self.ratios();
        format!(
            "| {} | {} | {} | {} | **{ratio:.1}** ({least:.1} to {most:.1}) | {} | {} |",
            self.name,
            self.bytes,
            rate(self.rates(0)),
            rate(self.rates(1)),
            self.matches[0],
            self.matches[1],
        )
    }

    pub fn json(&self) -> Json {
        let seconds = |engine: usize| {
            let rounds = self.rounds[engine].iter();
            let cpu: Vec<f64> = rounds.clone().map(|timing| timing.cpu_s).collect();
            let wall: Vec<f64> = rounds.map(|timing| timing.wall_s).collect();
            let [least, median, most] = self.rates(engine);
            json!({
                "cpu_seconds": cpu,
                "wall_seconds": wall,
                "events_per_cpu_second": {"min": least, "median": median, "max": most},
            })
        };
        let [least, median, most] = self.ratios();
        json!({
            "name": self.name,
            "events": self.events,
            "mean_bytes": self.bytes,
            "weir": seconds(0),
            "rsigma_eval": seconds(1),
            "ratio": {"min": least, "of_medians": median, "max": most},
            "matches": {"weir": self.matches[0], "rsigma_eval": self.matches[1]},
        })
    }
}

fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

pub fn head() -> &'static str {
    "| what | bytes | Weir, events per CPU s | rsigma-eval | ratio | matches | |\n\
     |---|---|---|---|---|---|---|"
}
