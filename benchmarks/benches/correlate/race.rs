//! Rounds of two engines in turn, and what they come to.

use anyhow::Result;
use serde_json::{Value as Json, json};

/// Seconds that one round took, of the CPU and by the clock on the wall.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub cpu_s: f64,
    pub wall_s: f64,
}

/// What one engine took, round by round.
#[derive(Default)]
pub struct Rounds {
    pub events: usize,
    took: Vec<Took>,
}

impl Rounds {
    /// Least, median and greatest events per CPU second.
    pub fn rates(&self) -> [f64; 3] {
        let mut rates: Vec<f64> = self.took.iter().map(|took| self.rate(took)).collect();
        rates.sort_by(f64::total_cmp);
        match rates.len().checked_sub(1) {
            Some(last) => [rates[0], rates[last / 2], rates[last]],
            None => [0.0; 3],
        }
    }

    fn rate(&self, took: &Took) -> f64 {
        self.events as f64 / took.cpu_s.max(1e-9)
    }

    pub fn json(&self) -> Json {
        let [least, median, most] = self.rates();
        json!({
            "events": self.events,
            "cpu_seconds": self.took.iter().map(|took| took.cpu_s).collect::<Vec<_>>(),
            "wall_seconds": self.took.iter().map(|took| took.wall_s).collect::<Vec<_>>(),
            "events_per_cpu_second": {"min": least, "median": median, "max": most},
        })
    }

    pub fn text(&self) -> String {
        let [least, median, most] = self.rates();
        format!("{} ({} to {})", short(median), short(least), short(most))
    }
}

/// Rounds of ours and theirs in turn. A round gives the events that were counted and what they took.
pub fn run(
    rounds: usize,
    mut ours: impl FnMut() -> Result<(usize, Took)>,
    mut theirs: impl FnMut() -> Result<(usize, Took)>,
) -> Result<[Rounds; 2]> {
    let mut both = [Rounds::default(), Rounds::default()];
    for _ in 0..rounds.max(1) {
        for (place, (events, took)) in [ours()?, theirs()?].into_iter().enumerate() {
            both[place].events = events;
            both[place].took.push(took);
        }
    }
    Ok(both)
}

/// Ratio of the medians; least and greatest of a round of ours to the round of theirs after it.
pub fn ratios([ours, theirs]: &[Rounds; 2]) -> [f64; 3] {
    let pairs = ours.took.iter().zip(&theirs.took);
    let ratios = pairs.map(|(a, b)| ours.rate(a) / theirs.rate(b));
    let (least, most) = ratios.fold((f64::MAX, 0.0_f64), |(least, most), ratio| {
        (least.min(ratio), most.max(ratio))
    });
    [least, ours.rates()[1] / theirs.rates()[1].max(1e-9), most]
}

pub fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}
