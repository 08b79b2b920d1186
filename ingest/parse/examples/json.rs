//! Measures the time that one core takes to decode a JSON event, over a file of JSON lines:
//! `cargo run --release -p weir-parse --example json -- <file.jsonl> [rounds]`.

use std::time::Instant;

use weir_parse::{Context, Zone, decode};
use weir_schema::{Format, ReceiveTime, Span};

const ROUNDS: u32 = 5;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let Some(file) = args.next() else {
        return Err(std::io::Error::other(
            "missing argument: a file of JSON lines",
        ));
    };
    let rounds = args.next().and_then(|text| text.parse().ok());
    let rounds = rounds.unwrap_or(ROUNDS).max(1);
    let text = std::fs::read(file)?;
    let lines = text.split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    let count = lines.len().max(1) as f64;
    let context = Context {
        format: Format::Json,
        received: ReceiveTime(1_790_000_000_000_000_000),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    };
    // The best round is the least disturbed by other processes.
    let (mut best, mut fields, mut problems) = (f64::INFINITY, 0, 0);
    for _ in 0..rounds {
        (fields, problems) = (0, 0);
        let start = Instant::now();
        for line in &lines {
            let event = std::hint::black_box(decode(line, &context));
            fields += event.fields.len();
            problems += usize::from(!event.problems.is_empty());
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{count} events, {:.0} bytes, {:.1} fields each; {problems} with problems; \
         {:.0} ns an event, {:.0} MB/s, {:.0} events/s",
        text.len() as f64 / count,
        fields as f64 / count,
        best * 1e9 / count,
        text.len() as f64 / best / 1e6,
        count / best
    );
    Ok(())
}
