//! Runs two engines in turn, and compares their rates.

use anyhow::Result;
use serde_json::{Value as Json, json};

/// CPU time and wall-clock time of one round, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub cpu_s: f64,
    pub wall_s: f64,
}

/// All rounds of one engine.
#[derive(Default)]
pub struct Rounds {
    pub events: usize,
    timings: Vec<Timing>,
}

impl Rounds {
    /// Least, median and greatest events per CPU second.
    pub fn rates(&self) -> [f64; 3] {
        let mut rates: Vec<f64> = self
            .timings
            .iter()
            .map(|timing| self.rate(timing))
            .collect();
        rates.sort_by(f64::total_cmp);
        match rates.len().checked_sub(1) {
            Some(last) => [rates[0], rates[last / 2], rates[last]],
            None => [0.0; 3],
        }
    }

    fn rate(&self, timing: &Timing) -> f64 {
        self.events as f64 / timing.cpu_s.max(1e-9)
    }

    pub fn json(&self) -> Json {
        let [least, median, most] = self.rates();
        json!({
            "events": self.events,
            "cpu_seconds": self.timings.iter().map(|timing| timing.cpu_s).collect::<Vec<_>>(),
            "wall_seconds": self.timings.iter().map(|timing| timing.wall_s).collect::<Vec<_>>(),
            "events_per_cpu_second": {"min": least, "median": median, "max": most},
        })
    }

    pub fn text(&self) -> String {
        let [least, median, most] = self.rates();
        format!("{} ({} to {})", short(median), short(least), short(most))
    }
}

/// Runs Weir and its peer in turn. A round returns the number of events and their timing.
pub fn run(
    rounds: usize,
    mut weir: impl FnMut() -> Result<(usize, Timing)>,
    mut peer: impl FnMut() -> Result<(usize, Timing)>,
) -> Result<[Rounds; 2]> {
    let mut both = [Rounds::default(), Rounds::default()];
    for _ in 0..rounds.max(1) {
        for (place, (events, timing)) in [weir()?, peer()?].into_iter().enumerate() {
            both[place].events = events;
            both[place].timings.push(timing);
        }
    }
    Ok(both)
}

/// Ratio of the medians, between the least and greatest ratio of a round to the peer's next one.
pub fn ratios([weir, peer]: &[Rounds; 2]) -> [f64; 3] {
    let pairs = weir.timings.iter().zip(&peer.timings);
    let ratios = pairs.map(|(a, b)| weir.rate(a) / peer.rate(b));
    let (least, most) = ratios.fold((f64::MAX, 0.0_f64), |(least, most), ratio| {
        (least.min(ratio), most.max(ratio))
    });
    [least, weir.rates()[1] / peer.rates()[1].max(1e-9), most]
}

pub fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}
