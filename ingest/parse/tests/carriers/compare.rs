//! Compares the event of a carried line with that of the plain line.

use weir_parse::observables;
use weir_schema::Event;

use crate::common::{field_text, log_source};

/// Fields that must be equal; a carrier may add those marked if the plain line lacks them.
const FIELDS: [(&str, bool); 14] = [
    ("repeated", false),
    ("host", true),
    ("program", true),
    ("pid", true),
    ("user", false),
    ("target_user", false),
    ("src_ip", false),
    ("src_port", false),
    ("dst_ip", false),
    ("dst_port", false),
    ("action", false),
    ("outcome", false),
    ("EventID", false),
    ("cs-uri", false),
];

/// Differences between two events.
pub fn differences(plain: &Event<'_>, carried: &Event<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, may_be_added) in FIELDS {
        let (expected, got) = (field_text(plain, name), field_text(carried, name));
        if got != expected && !(may_be_added && expected == "-") {
            found.push(format!("{name}: {got}, not {expected}"));
        }
    }
    let (expected, got) = (log_source(plain), log_source(carried));
    if expected != got {
        found.push(format!("log source: {got}, not {expected}"));
    }
    if plain.weight != carried.weight {
        found.push(format!(
            "weight: {:?}, not {:?}",
            carried.weight, plain.weight
        ));
    }
    if plain.time != carried.time {
        found.push(format!("time: {:?}, not {:?}", carried.time, plain.time));
    }
    let of = |event: &Event<'_>| -> Vec<String> {
        let found = observables(event);
        let all = found.iter().filter(|found| found.role.name() != "device");
        let mut all: Vec<_> = all
            .map(|found| {
                format!(
                    "{} {} {}",
                    found.kind.name(),
                    found.role.name(),
                    found.value
                )
            })
            .collect();
        all.sort_unstable();
        all
    };
    if of(plain) != of(carried) {
        found.push(format!(
            "observables: {:?}, not {:?}",
            of(carried),
            of(plain)
        ));
    }
    found
}
