//! The carrier matrix of transports: each line of `ingest/parse/tests/carriers/lines.rs` goes as bytes
//! through the code that receives it, and the event of what comes out equals that of the plain line.
//!
//! The table of pairs, equal, excluded and different is printed.

#[path = "../ingest/parse/tests/common/mod.rs"]
mod common;
#[path = "../ingest/parse/tests/carriers/compare.rs"]
mod compare;
#[path = "../ingest/parse/tests/carriers/lines.rs"]
mod lines;
#[path = "transports/senders.rs"]
mod senders;

use std::collections::BTreeMap;

use weir_parse::{decode, event_json};
use weir_schema::Format;

use common::context;
use compare::differences;
use lines::LINES;
use senders::TRANSPORTS;

#[test]
fn transports_do_not_matter() {
    let (mut equal, mut excluded) = (0, 0);
    let (mut faults, mut table) = (Vec::new(), Vec::new());
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (transport, receive) in TRANSPORTS {
        let mut row = String::new();
        for line in &LINES {
            let received = match receive(line.kind) {
                Ok(received) => received,
                Err(reason) => {
                    *reasons.entry(reason).or_default() += 1;
                    excluded += 1;
                    row.push('-');
                    continue;
                }
            };
            let plain = line.kind.plain();
            let plain = decode(plain.as_bytes(), &context(Format::Auto));
            let carried = decode(&received.frame, &context(received.format));
            let differences = differences(&plain, &carried);
            if differences.is_empty() {
                equal += 1;
                row.push('=');
                continue;
            }
            row.push('x');
            faults.push(format!(
                "{transport} of {}: {}\n    {}\n    {}",
                line.name,
                differences.join("; "),
                String::from_utf8_lossy(&received.frame),
                event_json(&carried)
            ));
        }
        table.push(format!("{transport:32} {row}"));
    }
    println!(
        "{} pairs: {equal} equal, {excluded} excluded, {} different\n{}",
        TRANSPORTS.len() * LINES.len(),
        faults.len(),
        table.join("\n")
    );
    for (reason, pairs) in reasons {
        println!("excluded {pairs}: {reason}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
