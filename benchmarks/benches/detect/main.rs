//! Benchmark of detection: events per second under the public Sigma rules, on one core.
//!
//! It compares Weir with rsigma-eval. `cargo bench -p weir-benchmarks --bench detect` runs all
//! parts; `benchmarks/README.md` describes them.

mod alone;
mod corpus;
mod daemons;
mod data;
mod engines;
mod measure;
mod worst;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use serde_json::{Value as Json, json};
use weir_benchmarks::machine;

use corpus::{Corpus, Frames, Sources};
use data::Rule;
use engines::{RsigmaEngine, WeirEngine};
use measure::{Race, time};

const RULES: &[&str] = &["rules"];
const ALL_RULES: &[&str] = &["rules", "rules-emerging-threats", "rules-threat-hunting"];

/// File with the recordings of whole hosts.
const RECORDINGS: &str = "otrf_atomic.jsonl.zst";

#[derive(Parser)]
struct Options {
    /// Parts to run [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds of each engine, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Maximum number of events of a corpus.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// Writes the result to benchmarks/runs/NAME.json.
    #[arg(long)]
    name: Option<String>,
    /// Runs one engine over all recordings in this process, and prints the result.
    #[arg(long, value_enum, hide = true)]
    alone: Option<Engine>,
    /// Prints the events of all recordings.
    #[arg(long, hide = true)]
    unpack: bool,
    /// The daemon of rsigma 0.23.0 (`cargo install rsigma --version 0.23.0 --locked`). Runs both
    /// engines as servers too.
    #[arg(long)]
    rsigma: Option<PathBuf>,
    /// The server of Weir.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/weir"))]
    weir: PathBuf,
    /// Set by cargo.
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
    /// The most expensive events and rules.
    Worst,
    /// Each engine in its own process over all recordings: memory, load time, speed.
    Alone,
    /// Both as servers, events over HTTP; needs `--rsigma`.
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
        println!("{}", alone::run(engine)?);
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
        races.extend(size_part(&options, &rules, &sources)?);
    }
    if runs(Part::Worst) {
        races.extend(worst_part(&options, &rules, &sources)?);
    }
    let mut alone_runs = Vec::new();
    if runs(Part::Alone) {
        for engine in ["weir", "rsigma"] {
            let one = alone::run_in_child(engine)?;
            println!("alone: {one}");
            alone_runs.push(one);
        }
    }
    let daemons = match &options.rsigma {
        Some(rsigma) if runs(Part::Daemons) => daemons_part(&options, rsigma, &sources)?,
        _ => Json::Null,
    };
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
        "alone": alone_runs,
        "daemons": daemons,
    });
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
    let file = runs.join(format!("{name}.json"));
    std::fs::write(&file, format!("{run:#}\n"))
        .with_context(|| format!("could not write {}", file.display()))
}

fn daemons_part(options: &Options, rsigma: &Path, sources: &Sources) -> Result<Json> {
    let programs = daemons::Programs {
        weir: options.weir.clone(),
        rsigma: rsigma.to_owned(),
    };
    let corpus = corpus::windows("recordings", &[RECORDINGS], 1, options.events, sources)?;
    let rules = data::folder()?.join("sigma/rules");
    daemons::race(&programs, &rules, &corpus, options.rounds)
}

fn main_part(options: &Options, rules: &[Rule], sources: &Sources) -> Result<Vec<Race>> {
    let (weir, rsigma) = (WeirEngine::load(rules)?, RsigmaEngine::load(rules)?);
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
        same_matches(&corpus, &weir, &rsigma)?;
        races.push(matching(options, &corpus, &weir, &rsigma)?);
        races.push(whole(options, &corpus, &weir, &rsigma)?);
    }
    Ok(races)
}

fn size_part(options: &Options, rules: &[Rule], sources: &Sources) -> Result<Vec<Race>> {
    let (weir, rsigma) = (WeirEngine::load(rules)?, RsigmaEngine::load(rules)?);
    let mut races = Vec::new();
    for fields in [0, 50, 200, 500] {
        let corpus = worst::more_fields(fields, sources)?;
        races.push(matching(options, &corpus, &weir, &rsigma)?);
        races.push(whole(options, &corpus, &weir, &rsigma)?);
    }
    for bytes in [1 << 10, 16 << 10, 128 << 10] {
        let corpus = worst::long_value(bytes, sources)?;
        races.push(matching(options, &corpus, &weir, &rsigma)?);
    }
    Ok(races)
}

fn rules_part(options: &Options, sources: &Sources) -> Result<Vec<Race>> {
    let rules = data::rules(ALL_RULES)?;
    let corpus = corpus::windows("", &[RECORDINGS], 19, options.events.min(30_000), sources)?;
    let mut races = Vec::new();
    for count in [100, 1_000, 3_141, rules.len(), 10_000] {
        // Smaller numbers take some rules of every folder.
        let every = (rules.len() / count).max(1);
        let spread: Vec<Rule> = rules.iter().step_by(every).cloned().collect();
        let some = data::grown(if count < rules.len() { &spread } else { &rules }, count)?;
        let (weir, rsigma) = (WeirEngine::load(&some)?, RsigmaEngine::load(&some)?);
        let corpus = Corpus {
            name: format!("{count} rules"),
            ..corpus.clone()
        };
        races.push(matching(options, &corpus, &weir, &rsigma)?);
    }
    Ok(races)
}

fn worst_part(options: &Options, rules: &[Rule], sources: &Sources) -> Result<Vec<Race>> {
    let (weir, rsigma) = (WeirEngine::load(rules)?, RsigmaEngine::load(rules)?);
    let hits = worst::many_hits(rules, sources)?;
    let long = worst::long_value(1 << 20, sources)?;
    let mut races = vec![
        matching(options, &hits, &weir, &rsigma)?,
        matching(options, &long, &weir, &rsigma)?,
    ];
    let expressions = worst::only_expressions(rules)?;
    let (weir, rsigma) = (
        WeirEngine::load(&expressions)?,
        RsigmaEngine::load(&expressions)?,
    );
    let mut short = worst::more_fields(0, sources)?;
    short.name = format!("{} rules of one expression each", expressions.len());
    races.push(matching(options, &short, &weir, &rsigma)?);
    let mut long = worst::long_value(16 << 10, sources)?;
    long.name = format!("the same, a value of {} bytes", 16 << 10);
    races.push(matching(options, &long, &weir, &rsigma)?);
    Ok(races)
}

/// Checks that both engines find the same rules for each event.
fn same_matches(corpus: &Corpus, weir: &WeirEngine, rsigma: &RsigmaEngine) -> Result<()> {
    let (a, b) = (
        weir.names(&WeirEngine::decode(corpus)),
        rsigma.names(&RsigmaEngine::decode(corpus)?),
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
        "the engines differ in {differ} events of {}",
        corpus.name
    );
    Ok(())
}

fn matching(
    options: &Options,
    corpus: &Corpus,
    weir: &WeirEngine,
    rsigma: &RsigmaEngine,
) -> Result<Race> {
    let (a, b) = (WeirEngine::decode(corpus), RsigmaEngine::decode(corpus)?);
    let warm = corpus.warm();
    let race = Race::run(
        format!("{}: matching", corpus.name),
        corpus.events.len() - warm,
        corpus.mean_bytes(),
        options.rounds,
        &mut || {
            let mut worker = weir.warm(&a[..warm]);
            time(|| worker.matching(&a[warm..]))
        },
        &mut || time(|| rsigma.matching(&b[warm..])),
    )?;
    with_equal_matches(race)
}

fn whole(
    options: &Options,
    corpus: &Corpus,
    weir: &WeirEngine,
    rsigma: &RsigmaEngine,
) -> Result<Race> {
    let a = WeirEngine::decode(corpus);
    let warm = corpus.warm();
    let measured = &corpus.events[warm..];
    let race = Race::run(
        format!("{}: bytes to matches", corpus.name),
        measured.len(),
        corpus.mean_bytes(),
        options.rounds,
        &mut || {
            let mut worker = weir.warm(&a[..warm]);
            let mut one = |event: &Frames| worker.whole(&event.weir, corpus.format);
            time(|| measured.iter().map(&mut one).sum())
        },
        &mut || {
            time(|| {
                measured
                    .iter()
                    .map(|event| rsigma.whole(&event.rsigma))
                    .sum()
            })
        },
    )?;
    with_equal_matches(race)
}

fn with_equal_matches(race: Race) -> Result<Race> {
    let [weir, rsigma] = race.matches;
    ensure!(weir == rsigma, "{}: {weir} and {rsigma} matches", race.name);
    Ok(race)
}
