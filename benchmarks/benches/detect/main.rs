//! How many events a second do the public Sigma rules take on one core, in Weir and in the best
//! engine that there was?
//!
//! `cargo bench -p weir-benchmarks --bench detect` runs all of it; `benchmarks/README.md` says what
//! is measured and how.

mod corpus;
mod daemons;
mod data;
mod engines;
mod measure;
mod worst;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use serde_json::{Value as Json, json};
use weir_benchmarks::machine;
use weir_schema::Format;

use corpus::{Corpus, Frames, Sources};
use data::Rule;
use engines::{Ours, Theirs};
use measure::{Race, took};

const RULES: &[&str] = &["rules"];
const ALL_RULES: &[&str] = &["rules", "rules-emerging-threats", "rules-threat-hunting"];

/// Where the recordings of whole hosts are.
const RECORDINGS: &str = "otrf_atomic.jsonl.zst";

#[derive(Parser)]
struct Options {
    /// Parts to run; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds of each engine, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Events of a corpus, at most.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// The result is written to benchmarks/runs/NAME.json.
    #[arg(long)]
    name: Option<String>,
    /// Runs one engine over all recordings, and prints what it took: a process of its own.
    #[arg(long, value_enum, hide = true)]
    alone: Option<Engine>,
    /// Prints the events of all recordings.
    #[arg(long, hide = true)]
    unpack: bool,
    /// The daemon of rsigma 0.23.0 (`cargo install rsigma --version 0.23.0 --locked`): both are run as
    /// servers too.
    #[arg(long)]
    rsigma: Option<PathBuf>,
    /// The server of ours.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/weir"))]
    weir: PathBuf,
    /// Cargo says that this is a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Recordings, attack samples and syslog: matching alone, and from bytes.
    Main,
    /// More rules.
    Rules,
    /// Larger events.
    Size,
    /// What costs most.
    Worst,
    /// Each engine in a process of its own over all recordings: memory, load, speed.
    Alone,
    /// Both as servers, events over HTTP; only where `--rsigma` is given.
    Daemons,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Weir,
    Rsigma,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(engine) = options.alone {
        println!("{}", alone(engine)?);
        return Ok(());
    }
    if options.unpack {
        return corpus::print(RECORDINGS);
    }
    let runs = |part| options.only.is_empty() || options.only.contains(&part);
    let sources = Sources::read()?;
    let rules = data::rules(RULES)?;
    let machine = machine::describe();
    println!("{}", measure::head());
    let mut races = Vec::new();
    if runs(Part::Main) {
        races.extend(main_part(&options, &rules, &sources)?);
    }
    if runs(Part::Rules) {
        races.extend(rules_part(&options, &sources)?);
    }
    if runs(Part::Size) {
        let (ours, theirs) = (Ours::load(&rules)?, Theirs::load(&rules)?);
        for fields in [0, 50, 200, 500] {
            let corpus = worst::more_fields(fields, &sources)?;
            races.push(matching(&options, &corpus, &ours, &theirs)?);
            races.push(whole(&options, &corpus, &ours, &theirs)?);
        }
        for bytes in [1 << 10, 16 << 10, 128 << 10] {
            let corpus = worst::long_value(bytes, &sources)?;
            races.push(matching(&options, &corpus, &ours, &theirs)?);
        }
    }
    if runs(Part::Worst) {
        races.extend(worst_part(&options, &rules, &sources)?);
    }
    let mut alone = Vec::new();
    if runs(Part::Alone) {
        for engine in ["weir", "rsigma"] {
            let one = alone_in_child(engine)?;
            println!("alone: {one}");
            alone.push(one);
        }
    }
    let mut daemons = Json::Null;
    if let Some(rsigma) = options.rsigma.as_ref().filter(|_| runs(Part::Daemons)) {
        let programs = daemons::Programs {
            weir: options.weir.clone(),
            rsigma: rsigma.clone(),
        };
        let corpus = corpus::windows("recordings", &[RECORDINGS], 1, options.events, &sources)?;
        let rules = data::folder()?.join("sigma/rules");
        daemons = daemons::race(&programs, &rules, &corpus, options.rounds)?;
    }
    let Some(name) = &options.name else {
        return Ok(());
    };
    let run = json!({
        "question": "how many events a second do the public rules take on one core?",
        "machine": machine,
        "commit": machine::commit(),
        "rules": rules.len(),
        "rounds": options.rounds,
        "rsigma_eval": "0.23.0, log-source routing on",
        "races": races.iter().map(Race::json).collect::<Vec<_>>(),
        "alone": alone,
        "daemons": daemons,
    });
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
    let file = runs.join(format!("{name}.json"));
    std::fs::write(&file, format!("{run:#}\n"))
        .with_context(|| format!("could not write {}", file.display()))
}

fn main_part(options: &Options, rules: &[Rule], sources: &Sources) -> Result<Vec<Race>> {
    let (ours, theirs) = (Ours::load(rules)?, Theirs::load(rules)?);
    let samples = ["evtx_attack_samples.jsonl.zst", "evtx_to_mitre.jsonl.zst"];
    let spread = (584_237 / options.events.max(1)).max(1);
    let corpora: [&dyn Fn() -> Result<Corpus>; 4] = [
        &|| {
            let name = "recordings, one event in five";
            corpus::windows(name, &[RECORDINGS], spread, options.events, sources)
        },
        &|| {
            let name = "recordings, the first";
            corpus::windows(name, &[RECORDINGS], 1, options.events, sources)
        },
        &|| corpus::windows("attack samples", &samples, 1, options.events, sources),
        &|| corpus::syslog(options.events),
    ];
    let mut races = Vec::new();
    for make in corpora {
        let corpus = make()?;
        same_matches(&corpus, &ours, &theirs)?;
        races.push(matching(options, &corpus, &ours, &theirs)?);
        races.push(whole(options, &corpus, &ours, &theirs)?);
    }
    Ok(races)
}

fn rules_part(options: &Options, sources: &Sources) -> Result<Vec<Race>> {
    let rules = data::rules(ALL_RULES)?;
    let corpus = corpus::windows("", &[RECORDINGS], 19, options.events.min(30_000), sources)?;
    let mut races = Vec::new();
    for count in [100, 1_000, 3_141, rules.len(), 10_000] {
        // Of the smaller numbers, some of every folder.
        let every = (rules.len() / count).max(1);
        let spread: Vec<Rule> = rules.iter().step_by(every).cloned().collect();
        let some = data::grown(if count < rules.len() { &spread } else { &rules }, count)?;
        let (ours, theirs) = (Ours::load(&some)?, Theirs::load(&some)?);
        let corpus = Corpus {
            name: format!("{count} rules"),
            ..corpus.clone()
        };
        races.push(matching(options, &corpus, &ours, &theirs)?);
    }
    Ok(races)
}

fn worst_part(options: &Options, rules: &[Rule], sources: &Sources) -> Result<Vec<Race>> {
    let (ours, theirs) = (Ours::load(rules)?, Theirs::load(rules)?);
    let hits = worst::many_hits(rules, sources)?;
    let long = worst::long_value(1 << 20, sources)?;
    let mut races = vec![
        matching(options, &hits, &ours, &theirs)?,
        matching(options, &long, &ours, &theirs)?,
    ];
    let expressions = worst::only_expressions(rules)?;
    let (ours, theirs) = (Ours::load(&expressions)?, Theirs::load(&expressions)?);
    let mut short = worst::more_fields(0, sources)?;
    short.name = format!("{} rules of one expression each", expressions.len());
    races.push(matching(options, &short, &ours, &theirs)?);
    let mut long = worst::long_value(16 << 10, sources)?;
    long.name = format!("the same, a value of {} bytes", 16 << 10);
    races.push(matching(options, &long, &ours, &theirs)?);
    Ok(races)
}

/// Both engines name the same rules for each event.
fn same_matches(corpus: &Corpus, ours: &Ours, theirs: &Theirs) -> Result<()> {
    let (a, b) = (
        ours.names(&Ours::decode(corpus)),
        theirs.names(&Theirs::decode(corpus)?),
    );
    let mut differ = 0;
    for (at, (a, b)) in a.iter().zip(&b).enumerate().filter(|(_, (a, b))| a != b) {
        differ += 1;
        if differ <= 10 {
            eprintln!("{}: event {at}: weir {a:?}, rsigma-eval {b:?}", corpus.name);
        }
    }
    ensure!(
        differ == 0,
        "{differ} events of {} match otherwise",
        corpus.name
    );
    Ok(())
}

fn matching(options: &Options, corpus: &Corpus, ours: &Ours, theirs: &Theirs) -> Result<Race> {
    let (a, b) = (Ours::decode(corpus), Theirs::decode(corpus)?);
    let warm = corpus.warm();
    let race = Race::run(
        format!("{}: matching", corpus.name),
        (corpus.events.len() - warm, corpus.mean_bytes()),
        options.rounds,
        &mut || {
            let mut worker = ours.warm(&a[..warm]);
            took(|| worker.matching(&a[warm..]))
        },
        &mut || took(|| theirs.matching(&b[warm..])),
    )?;
    agreed(race)
}

fn whole(options: &Options, corpus: &Corpus, ours: &Ours, theirs: &Theirs) -> Result<Race> {
    let a = Ours::decode(corpus);
    let warm = corpus.warm();
    let measured = &corpus.events[warm..];
    let race = Race::run(
        format!("{}: bytes to matches", corpus.name),
        (measured.len(), corpus.mean_bytes()),
        options.rounds,
        &mut || {
            let mut worker = ours.warm(&a[..warm]);
            let mut one = |event: &Frames| worker.whole(&event.ours, corpus.format);
            took(|| measured.iter().map(&mut one).sum())
        },
        &mut || {
            took(|| {
                measured
                    .iter()
                    .map(|event| theirs.whole(&event.theirs))
                    .sum()
            })
        },
    )?;
    agreed(race)
}

fn agreed(race: Race) -> Result<Race> {
    let [ours, theirs] = race.matches;
    ensure!(ours == theirs, "{}: {ours} and {theirs} matches", race.name);
    Ok(race)
}

fn alone_in_child(engine: &str) -> Result<Json> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--alone", engine])
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// All recordings, once, in small parcels, so that what is in memory is the engine.
fn alone(engine: Engine) -> Result<Json> {
    const PARCEL: usize = 1_000;
    let rules = data::rules(RULES)?;
    let sources = Sources::read()?;
    let me = std::process::id();
    let before = machine::memory_peak_bytes(me)?;
    let (mut ours, mut theirs) = (None, None);
    let (load, _) = took(|| match engine {
        Engine::Weir => usize::from(ours.insert(Ours::load(&rules)).is_ok()),
        Engine::Rsigma => usize::from(theirs.insert(Theirs::load(&rules)).is_ok()),
    })?;
    let (ours, theirs) = (ours.transpose()?, theirs.transpose()?);
    let mut run: Box<dyn FnMut(&[u8]) -> usize + '_> = match (&ours, &theirs) {
        (Some(ours), _) => {
            let mut worker = ours.warm(&[]);
            Box::new(move |frame| worker.whole(frame, Format::Json))
        }
        (None, Some(theirs)) => Box::new(|frame| theirs.whole(frame)),
        (None, None) => bail!("no engine was loaded"),
    };
    // The index of rules is built at the first event.
    let (first, _) = took(|| run(b"{}"))?;
    let loaded = machine::memory_peak_bytes(me)?;
    // Parcels are shorter than the ticks at which the kernel counts CPU time.
    let (mut events, mut matches, mut seconds) = (0, 0, 0.0);
    let mut parcel = Vec::with_capacity(PARCEL);
    let mut judge = |parcel: &mut Vec<corpus::Frames>| -> Result<()> {
        let (took, found) = took(|| {
            let bytes = |frames: &corpus::Frames| match engine {
                Engine::Weir => run(&frames.ours),
                Engine::Rsigma => run(&frames.theirs),
            };
            parcel.iter().map(bytes).sum()
        })?;
        events += parcel.len();
        matches += found;
        seconds += took.wall_s;
        parcel.clear();
        Ok(())
    };
    let mut unpacking = Command::new(std::env::current_exe()?)
        .arg("--unpack")
        .stdout(Stdio::piped())
        .spawn()?;
    let recordings = unpacking.stdout.take().context("it is piped")?;
    for line in BufReader::new(recordings).lines() {
        parcel.push(sources.windows(&line?)?);
        if parcel.len() == PARCEL {
            judge(&mut parcel)?;
        }
    }
    ensure!(
        unpacking.wait()?.success(),
        "the recordings could not be unpacked"
    );
    judge(&mut parcel)?;
    Ok(json!({
        "engine": if engine == Engine::Weir { "weir" } else { "rsigma-eval" },
        "events": events,
        "matches": matches,
        "wall_seconds": seconds,
        "events_per_second": events as f64 / seconds,
        "load_cpu_seconds": load.cpu_s + first.cpu_s,
        "memory_before_bytes": before,
        "memory_loaded_peak_bytes": loaded,
        "memory_peak_bytes": machine::memory_peak_bytes(me)?,
    }))
}
