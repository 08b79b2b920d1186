//! What the machine says: who it is, what threads cost, how far times lie apart.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Ticks a second in which Linux counts CPU time for `/proc`, on every architecture that it runs on
/// today.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of each thread of a process, by thread id, with its name.
pub type Threads = BTreeMap<u32, (String, f64)>;

/// Reads the CPU time of every thread of a process.
pub fn threads(process: u32) -> Result<Threads> {
    let folder = format!("/proc/{process}/task");
    let mut threads = Threads::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("could not read {folder}"))? {
        let path = entry?.path().join("stat");
        // A thread may have ended since the folder was listed.
        let Ok(stat) = fs::read_to_string(path) else {
            continue;
        };
        if let Some((id, name, seconds)) = thread(&stat) {
            threads.insert(id, (name, seconds));
        }
    }
    Ok(threads)
}

/// Reads `id (name) state ...`, where the name may hold anything; fields 14 and 15 are ticks.
fn thread(stat: &str) -> Option<(u32, String, f64)> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((
        id.parse().ok()?,
        name.to_owned(),
        (user + system) / TICKS_PER_SECOND,
    ))
}

/// CPU seconds of a process, threads that have ended among them.
pub fn cpu_seconds(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
    let (_, _, seconds) = thread(&stat).with_context(|| format!("{path} is cut"))?;
    Ok(seconds)
}

/// CPU seconds of this thread, which the kernel counts in nanoseconds; 0 where it does not tell.
#[must_use]
pub fn thread_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran = text
        .split(' ')
        .next()
        .and_then(|ran| ran.parse::<f64>().ok());
    ran.map_or(0.0, |nanoseconds| nanoseconds / 1e9)
}

/// CPU seconds between two readings, summed over threads of the same name.
#[must_use]
pub fn difference(before: &Threads, after: &Threads) -> BTreeMap<String, f64> {
    let mut spent = BTreeMap::new();
    for (id, (name, seconds)) in after {
        let earlier = before.get(id).map_or(0.0, |(_, seconds)| *seconds);
        *spent.entry(name.clone()).or_default() += seconds - earlier;
    }
    spent
}

/// The greatest memory that a process has held, resident.
pub fn memory_peak_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("the process has no VmHWM")?.parse()?;
    Ok(kilobytes * 1_024)
}

/// Processor, cores and kernel of this machine, and how busy it was: others' work spoils a
/// measurement.
#[must_use]
pub fn describe() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    json!({
        "processor": model.map(|model| model.trim_start_matches(['\t', ' ', ':'])),
        "cores": std::thread::available_parallelism().map(usize::from).unwrap_or(0),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average": read("/proc/loadavg").trim(),
    })
}

/// The commit that is checked out, with `+` where files differ from it.
#[must_use]
pub fn commit() -> Option<String> {
    let git = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() {
        commit
    } else {
        format!("{commit}+")
    })
}

/// The least duration that `percent` of the sorted ones do not pass, in milliseconds.
#[must_use]
pub fn percentile_ms(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted
        .get(rank - 1)
        .map(|duration| duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_whatever_its_name() {
        let stat = "77 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(thread(stat), Some((77, "a) b (c".to_owned(), 3.0)));
        assert_eq!(thread("77 (cut"), None);
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| percentile_ms(&sorted, percent).unwrap();
        assert_eq!((at(50), at(99), at(100)), (100.0, 198.0, 200.0));
        assert_eq!(percentile_ms(&[], 50), None);
    }
}
