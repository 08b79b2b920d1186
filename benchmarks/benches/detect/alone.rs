//! Runs each engine in a process of its own over all recordings: memory, load time, speed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value as Json, json};
use weir_benchmarks::machine;
use weir_schema::Format;

use crate::corpus::{Frames, Sources};
use crate::data;
use crate::engines::{RsigmaEngine, WeirEngine};
use crate::measure::time;
use crate::{Engine, RULES};

/// Events that are in memory at a time, so that the measured memory is the engine's.
const SLICE: usize = 1_000;

/// Runs one engine in a process of its own.
pub fn run_in_child(engine: &str) -> Result<Json> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--alone", engine])
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs one engine once over all recordings, in this process.
pub fn run(engine: Engine) -> Result<Json> {
    let rules = data::rules(RULES)?;
    let sources = Sources::read()?;
    let me = std::process::id();
    let before = machine::memory_peak_bytes(me)?;
    let (mut weir, mut rsigma) = (None, None);
    let (load, _) = time(|| match engine {
        Engine::Weir => usize::from(weir.insert(WeirEngine::load(&rules)).is_ok()),
        Engine::Rsigma => usize::from(rsigma.insert(RsigmaEngine::load(&rules)).is_ok()),
    })?;
    let (weir, rsigma) = (weir.transpose()?, rsigma.transpose()?);
    let mut run: Box<dyn FnMut(&[u8]) -> usize + '_> = match (&weir, &rsigma) {
        (Some(weir), _) => {
            let mut worker = weir.warm(&[]);
            Box::new(move |frame| worker.whole(frame, Format::Json))
        }
        (None, Some(rsigma)) => Box::new(|frame| rsigma.whole(frame)),
        (None, None) => bail!("no engine was loaded"),
    };
    // The index of rules is built at the first event.
    let (first, _) = time(|| run(b"{}"))?;
    let loaded = machine::memory_peak_bytes(me)?;
    let totals = run_all(&sources, &mut |frames| match engine {
        Engine::Weir => run(&frames.weir),
        Engine::Rsigma => run(&frames.rsigma),
    })?;
    Ok(json!({
        "engine": if engine == Engine::Weir { "weir" } else { "rsigma-eval" },
        "events": totals.events,
        "matches": totals.matches,
        "wall_seconds": totals.wall_s,
        "events_per_second": totals.events as f64 / totals.wall_s,
        "load_cpu_seconds": load.cpu_s + first.cpu_s,
        "memory_before_bytes": before,
        "memory_loaded_peak_bytes": loaded,
        "memory_peak_bytes": machine::memory_peak_bytes(me)?,
    }))
}

/// Sums over all recordings.
#[derive(Default)]
struct Totals {
    events: usize,
    matches: usize,
    wall_s: f64,
}

impl Totals {
    /// Runs the engine over a slice. Wall-clock time counts, since a slice is shorter than the
    /// ticks in which the kernel counts CPU time.
    fn add(&mut self, slice: &[Frames], run: &mut dyn FnMut(&Frames) -> usize) -> Result<()> {
        let (timing, matches) = time(|| slice.iter().map(run).sum())?;
        self.events += slice.len();
        self.matches += matches;
        self.wall_s += timing.wall_s;
        Ok(())
    }
}

/// Runs an engine over all recordings, which a process of its own unpacks.
fn run_all(sources: &Sources, run: &mut dyn FnMut(&Frames) -> usize) -> Result<Totals> {
    let mut unpacking = Command::new(std::env::current_exe()?)
        .arg("--unpack")
        .stdout(Stdio::piped())
        .spawn()?;
    let recordings = unpacking.stdout.take().context("stdout is piped")?;
    let mut totals = Totals::default();
    let mut slice = Vec::with_capacity(SLICE);
    for line in BufReader::new(recordings).lines() {
        slice.push(sources.windows(&line?)?);
        if slice.len() == SLICE {
            totals.add(&slice, run)?;
            slice.clear();
        }
    }
    ensure!(
        unpacking.wait()?.success(),
        "the recordings could not be unpacked"
    );
    totals.add(&slice, run)?;
    Ok(totals)
}
