//! Measures detection on recorded events, and compares the engine with the plain loops.
//!
//! `cargo run --release -p weir-detect --example corpus_speed -- RULES EVENTS.jsonl [SAMPLE]`

use std::path::Path;
use std::time::Instant;

use weir_detect::{Detections, Detector, RuleBook, split_documents};
use weir_parse::{Context, Zone, decode};
use weir_schema::{Control, Event, EventTime, Format, ReceiveTime, Span, TenantKey};

/// Number of rounds over the events. Read the fastest one; the others have noise.
const ROUNDS: usize = 5;

/// One in this number of events runs before the clock starts.
const WARM_STEP: usize = 50;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(rules), Some(events)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: corpus_speed RULES EVENTS.jsonl [SAMPLE]");
        return Ok(());
    };
    let sample = arguments
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0usize);
    let start = Instant::now();
    let mut book = RuleBook::new();
    load(&mut book, Path::new(&rules))?;
    println!(
        "{} rules, loaded in {:.1?}",
        book.rules().len(),
        start.elapsed()
    );
    let start = Instant::now();
    let plans = book.plans().count();
    println!("{plans} plans, indexed in {:.1?}", start.elapsed());
    let text = std::fs::read_to_string(&events)?;
    let decoded = decode_all(&text);
    compare(&book, &decoded, sample);
    for round in 0..ROUNDS {
        run_round(&book, &decoded, round);
    }
    Ok(())
}

fn decode_all(text: &str) -> Vec<Event<'_>> {
    let frames: Vec<&str> = text.lines().collect();
    let context = Context {
        format: Format::Auto,
        received: ReceiveTime(0),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(1_000_000_000),
    };
    let start = Instant::now();
    let decoded: Vec<Event<'_>> = frames
        .iter()
        .map(|f| decode(f.as_bytes(), &context))
        .collect();
    let each = start.elapsed().as_secs_f64() * 1e9 / frames.len() as f64;
    println!(
        "{} events, {} MB, decoded in {each:.0} ns each",
        frames.len(),
        text.len() >> 20
    );
    decoded
}

fn run_round(book: &RuleBook, events: &[Event<'_>], round: usize) {
    let mut detector = Detector::new();
    let mut out = Detections::default();
    let (mut matches, mut facts) = (0, 0);
    let start = Instant::now();
    // The first event that needs a scope compiles it.
    for event in events.iter().step_by(WARM_STEP) {
        detector.detect(book, event, TenantKey(1), None, &mut out);
    }
    let warm = start.elapsed();
    let start = Instant::now();
    for event in events {
        detector.detect(book, event, TenantKey(1), None, &mut out);
        matches += out.matches.len();
        facts += out.facts.len();
    }
    let each = start.elapsed().as_secs_f64() * 1e9 / events.len() as f64;
    println!(
        "round {round}: warm {warm:.1?}, {each:.0} ns/event, {matches} matches, {facts} facts"
    );
}

/// Compares the engine with the plain loops for about `sample` of the events.
fn compare(book: &RuleBook, events: &[Event<'_>], sample: usize) {
    if sample == 0 {
        return;
    }
    let mut detector = Detector::new();
    let (mut plain, mut fast) = (Detections::default(), Detections::default());
    let step = (events.len() / sample).max(1);
    for (at, event) in events.iter().enumerate().step_by(step) {
        book.detect(event, TenantKey(1), None, &mut plain);
        detector.detect(book, event, TenantKey(1), None, &mut fast);
        if plain.matches != fast.matches || plain.facts != fast.facts {
            println!(
                "event {at}: plain {:?}, fast {:?}",
                plain.matches, fast.matches
            );
        }
    }
}

fn load(book: &mut RuleBook, folder: &Path) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            load(book, &path)?;
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            for (_, text) in split_documents(&std::fs::read_to_string(&path)?) {
                let update = book.apply(&Control::RulePut {
                    text: text.to_owned(),
                    origin: path.display().to_string(),
                    since: EventTime::MIN,
                });
                update
                    .diagnostics
                    .iter()
                    .for_each(|found| eprintln!("{found}"));
            }
        }
    }
    Ok(())
}
