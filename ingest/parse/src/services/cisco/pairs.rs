//! Events of FTD and NGIPS: `AccessControlRuleAction: Block, SrcIP: 192.0.2.9, DstPort: 22`.

use weir_schema::Problem;

use crate::FIELDS_MAX;
use crate::draft::Draft;
use crate::services::text::{FAILURE, SUCCESS, add_action, is_address, is_port};

/// Words of a verdict, its action and outcome.
const VERDICTS: [(&str, &str, &str); 6] = [
    ("block", "block", FAILURE),
    ("drop", "drop", FAILURE),
    ("allow", "allow", SUCCESS),
    ("trust", "allow", SUCCESS),
    ("fastpath", "allow", SUCCESS),
    ("malware block", "block", FAILURE),
];

/// Longest name, with the comma in front of it.
const NAME_BYTES_MAX: usize = 64;

/// Reads pairs of a name, a colon and a value. The device writes the addresses before what a client
/// chooses, and the first of several equal names counts.
pub(super) fn read<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let mut value_start = 0;
    let mut name = "";
    let mut count = 0;
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    // A value ends at the last comma before the next name.
    for at in memchr::memmem::find_iter(text.as_bytes(), b": ") {
        let window = text.floor_char_boundary(at.saturating_sub(NAME_BYTES_MAX));
        let before = text.get(window..at).unwrap_or("");
        let start = match before.rfind(", ") {
            Some(comma) => window + comma + 2,
            None => window,
        };
        let next = text.get(start..at).unwrap_or("");
        if !is_name(next) || start < value_start {
            continue;
        }
        if !name.is_empty() {
            let end = start.saturating_sub(2);
            add(name, text.get(value_start..end).unwrap_or(""), draft);
        }
        (name, value_start) = (next, at + 2);
        count += 1;
        if count == FIELDS_MAX {
            return draft.add_problem(Problem::TooManyFields);
        }
    }
    if !name.is_empty() {
        add(name, text.get(value_start..).unwrap_or(""), draft);
    }
}

fn add<'a>(name: &'a str, value: &'a str, draft: &mut Draft<'a>) {
    draft.add_text(name, value);
    match name {
        "SrcIP" if is_address(value) => draft.add_text("src_ip", value),
        "DstIP" if is_address(value) => draft.add_text("dst_ip", value),
        "SrcPort" if is_port(value) => draft.add_number("src_port", value),
        "DstPort" if is_port(value) => draft.add_number("dst_port", value),
        "User" if !matches!(value, "No Authentication Required" | "Unknown" | "") => {
            draft.add_text("user", value);
        }
        "AccessControlRuleAction" | "InlineResult" | "FileAction" => {
            let verdict = VERDICTS.iter().find(|(word, ..)| {
                let start = value.get(..word.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(word))
            });
            if let Some((_, action, outcome)) = verdict {
                add_action(action, outcome, draft);
            }
        }
        _ => {}
    }
}
