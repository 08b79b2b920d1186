//! The carrier matrix: the same line gives the same event, whatever it came in.
//!
//! Expected is what the plain line gives: host, program, process, user, addresses, ports, action,
//! outcome, log source, time and observables. A carrier may add a host or a program where the plain line
//! has none, and fields of its own.

mod common;

#[path = "carriers/carriers.rs"]
mod carriers;
#[path = "carriers/compare.rs"]
mod compare;
#[path = "carriers/lines.rs"]
mod lines;

use weir_parse::{decode, event_json};
use weir_schema::Format;

use carriers::{CARRIERS, OUTSIDE};
use common::context;
use compare::differences;
use lines::{Kind, LINES};

#[test]
fn carriers_do_not_matter() {
    let (mut pairs, mut equal, mut excluded) = (0, 0, 0);
    let mut faults = Vec::new();
    let mut table = Vec::new();
    for (carrier, carry) in CARRIERS {
        let mut row = String::new();
        for line in LINES {
            pairs += 1;
            let frame = match carry(line.kind) {
                Ok(frame) => frame,
                Err(_) => {
                    excluded += 1;
                    row.push('-');
                    continue;
                }
            };
            let plain = line.kind.plain();
            let plain = decode(plain.as_bytes(), &context(Format::Auto));
            let carried = decode(frame.as_bytes(), &context(Format::Auto));
            let differences = differences(&plain, &carried);
            if differences.is_empty() {
                equal += 1;
                row.push('=');
            } else {
                row.push('x');
                faults.push(format!(
                    "{carrier} of {}: {}\n    {frame}\n    {}",
                    line.name,
                    differences.join("; "),
                    event_json(&carried)
                ));
            }
        }
        table.push(format!("{carrier:32} {row}"));
    }
    println!(
        "{pairs} pairs: {equal} equal, {excluded} excluded (-)\n{}",
        table.join("\n")
    );
    for (carrier, reason) in OUTSIDE {
        println!("{carrier:32} outside: {reason}");
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Each line of the matrix says something, so that equality is not that of two empty events.
#[test]
fn lines_of_the_matrix_are_read() {
    for line in LINES {
        let plain = line.kind.plain();
        let event = decode(plain.as_bytes(), &context(Format::Auto));
        let names = [
            "action",
            "EventID",
            "event_type",
            "eventName",
            "eventType",
            "verb",
            "act",
            "cs-method",
        ];
        let is_read = names.iter().any(|name| event.get(name).is_some());
        assert!(
            is_read
                || matches!(line.kind, Kind::Object(_))
                || line.name == "leef"
                || line.name == "audispd",
            "{}: {}",
            line.name,
            event_json(&event)
        );
        let problems: Vec<_> = event
            .problems
            .iter()
            .map(|problem| problem.name())
            .collect();
        assert_eq!(problems.join(" "), "", "{}", line.name);
    }
}
