//! Seeded randomness: generators draw only from here, never from the machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Makes a seeded generator. `stream` keeps the draws of different purposes apart.
#[must_use]
pub fn seeded(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Draws one of `choices`, each with the same probability.
///
/// # Panics
/// If `choices` is empty; callers pass constant tables.
#[must_use]
pub fn pick<'a, T>(rng: &mut impl Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.random_range(0..choices.len())]
}

/// Scatters 64-bit words: a bijection, the finalizer of SplitMix64.
#[must_use]
pub const fn scatter(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws ranks from 0 with probability proportional to `1 / (rank + 1)^exponent`, in constant time.
///
/// It uses Walker's alias method: each column holds its own rank up to a share, and another rank
/// beyond.
#[derive(Clone, Debug)]
pub struct Zipf {
    columns: Vec<(f64, u32)>,
}

impl Zipf {
    /// Makes the table for `ranks` ranks, at least one.
    #[must_use]
    pub fn new(ranks: u32, exponent: f64) -> Self {
        let ranks = ranks.max(1);
        let weights: Vec<f64> = (1..=ranks)
            .map(|rank| f64::from(rank).powf(-exponent))
            .collect();
        let total: f64 = weights.iter().sum();
        let mut columns: Vec<(f64, u32)> = (0..ranks)
            .zip(&weights)
            .map(|(rank, weight)| (weight / total * f64::from(ranks), rank))
            .collect();
        let (mut poor, mut rich): (Vec<u32>, Vec<u32>) =
            (0..ranks).partition(|&rank| columns[rank as usize].0 < 1.0);
        while let (Some(short), Some(&long)) = (poor.pop(), rich.last()) {
            columns[short as usize].1 = long;
            let left = columns[long as usize].0 - (1.0 - columns[short as usize].0);
            columns[long as usize].0 = left;
            if left < 1.0 {
                rich.pop();
                poor.push(long);
            }
        }
        // Ranks that are left because of rounding fill their own columns.
        for rank in poor.into_iter().chain(rich) {
            columns[rank as usize] = (1.0, rank);
        }
        Self { columns }
    }

    /// Draws a rank.
    pub fn draw(&self, rng: &mut impl Rng) -> u32 {
        let column = rng.random_range(0..self.columns.len());
        let (share, other) = self.columns[column];
        if rng.random::<f64>() < share {
            // The table was built from u32 ranks, so its columns are within u32.
            column as u32
        } else {
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_draws_ranks_with_the_expected_frequency() {
        let (ranks, exponent, draws) = (1_000, 1.05, 200_000);
        let zipf = Zipf::new(ranks, exponent);
        let mut rng = seeded(7, 0);
        let mut drawn = vec![0_u32; ranks as usize];
        for _ in 0..draws {
            drawn[zipf.draw(&mut rng) as usize] += 1;
        }
        let total: f64 = (1..=ranks).map(|r| f64::from(r).powf(-exponent)).sum();
        for rank in [0_usize, 1, 9] {
            let expected = f64::from(draws) * ((rank + 1) as f64).powf(-exponent) / total;
            let count = f64::from(drawn[rank]);
            assert!(
                (count - expected).abs() < 5.0 * expected.sqrt(),
                "{rank}: {count} {expected}"
            );
        }
    }
}
