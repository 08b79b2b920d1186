//! Reads the machine: its description, CPU time and memory of processes; computes percentiles.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Ticks per second in which Linux counts CPU time for `/proc`, today on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Name and CPU seconds of each thread of a process, by thread id.
pub type Threads = BTreeMap<u32, (String, f64)>;

/// Reads the CPU time of every thread of a process.
pub fn threads(process: u32) -> Result<Threads> {
    let folder = format!("/proc/{process}/task");
    let mut threads = Threads::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("could not read {folder}"))? {
        let path = entry?.path().join("stat");
        // The thread may have ended since the folder was listed.
        let Ok(stat) = fs::read_to_string(path) else {
            continue;
        };
        if let Some((id, name, seconds)) = thread(&stat) {
            threads.insert(id, (name, seconds));
        }
    }
    Ok(threads)
}

/// Parses `id (name) state ...`. The name may contain anything; fields 14 and 15 are ticks.
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

/// Reads the CPU seconds of a process, including threads that have ended.
pub fn cpu_seconds(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
    let (_, _, seconds) = thread(&stat).with_context(|| format!("{path} is incomplete"))?;
    Ok(seconds)
}

/// Reads the CPU seconds of this thread, which the kernel counts in nanoseconds; 0 if it does not
/// report them.
#[must_use]
pub fn thread_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran = text
        .split(' ')
        .next()
        .and_then(|ran| ran.parse::<f64>().ok());
    ran.map_or(0.0, |nanoseconds| nanoseconds / 1e9)
}

/// CPU seconds between two readings, summed by thread name.
#[must_use]
pub fn difference(before: &Threads, after: &Threads) -> BTreeMap<String, f64> {
    let mut spent = BTreeMap::new();
    for (id, (name, seconds)) in after {
        let earlier = before.get(id).map_or(0.0, |(_, seconds)| *seconds);
        *spent.entry(name.clone()).or_default() += seconds - earlier;
    }
    spent
}

/// Reads the peak resident memory of a process.
pub fn memory_peak_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("the process has no VmHWM")?.parse()?;
    Ok(kilobytes * 1_024)
}

/// Describes processor, cores, kernel and load of this machine. Other load spoils a measurement.
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

/// The commit that is checked out, with `+` if files differ from it.
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

/// The smallest of the sorted durations that `percent` of them do not exceed, in milliseconds.
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
    fn threads_may_have_any_name() {
        let stat = "77 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(thread(stat), Some((77, "a) b (c".to_owned(), 3.0)));
        assert_eq!(thread("77 (cut"), None);
    }

    #[test]
    fn percentiles_are_measured_values() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| percentile_ms(&sorted, percent).unwrap();
        assert_eq!((at(50), at(99), at(100)), (100.0, 198.0, 200.0));
        assert_eq!(percentile_ms(&[], 50), None);
    }
}
