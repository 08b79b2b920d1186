//! Prints what-ifs and their differences for people.

use serde_json::Value;

use crate::text::{group_text, printable, title_text};

/// The number of alerts in each part of a difference.
pub fn counts(what_if: &Value) -> String {
    let restated = what_if["restated"].as_u64().unwrap_or(0);
    let same = restated + what_if["same"].as_u64().unwrap_or(0);
    format!(
        "{} gained, {} lost, {} changed, {same} unchanged",
        what_if["gained"], what_if["lost"], what_if["changed"],
    )
}

/// A table of what-ifs, one a line.
pub fn table(all: &Value) -> String {
    let mut lines = vec!["ID                STATE      GAINED  LOST  CHANGED  CHANGES".to_owned()];
    for one in all["what_ifs"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{:16}  {:9}  {:>6}  {:>4}  {:>7}  {}",
            printable(word(&one["id"])),
            printable(word(&one["state"])),
            one["gained"].to_string(),
            one["lost"].to_string(),
            one["changed"].to_string(),
            changes(one),
        ));
    }
    lines.join("\n")
}

/// A difference: its alerts, and a summary.
pub fn difference(found: &Value) -> String {
    let what_if = &found["what_if"];
    let rows = found["alerts"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = rows.map(alert).collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let state = printable(word(&what_if["state"]));
    if state != "running" {
        lines.push(format!("the what-if is {state}"));
    }
    lines.push(format!("{}: {}", changes(what_if), counts(what_if)));
    if what_if["limited"].as_u64().unwrap_or(0) > 0 {
        let limited = &what_if["limited"];
        lines.push(format!(
            "incomplete: {limited} facts or alerts were beyond a limit"
        ));
    }
    lines.join("\n")
}

fn changes(what_if: &Value) -> String {
    let changes = what_if["changes"].as_array().into_iter().flatten();
    let changes = changes.map(|change| {
        let kind = printable(word(&change["change"]));
        format!("{kind} {}", printable(word(&change["rule"])))
    });
    changes.collect::<Vec<_>>().join(", ")
}

/// One alert of a difference, with its state under the tried rules and, if it differs, now.
fn alert(row: &Value) -> String {
    let sign = match word(&row["kind"]) {
        "gained" => "+ gained ",
        "lost" => "- lost   ",
        _ => "~ changed",
    };
    let group = row["group"].as_object().into_iter().flatten();
    let group = group_text(group.map(|(name, value)| (&**name, word(value))));
    let side = |side: &Value| {
        let count = side["count"].as_u64().unwrap_or(0);
        let events = if count == 1 { "event" } else { "events" };
        let short = |time: &Value| printable(word(time)).replace(".000000000", "");
        let (first, last) = (short(&side["first"]), short(&side["last"]));
        format!("{count} {events}, {first} to {last}")
    };
    let sides = match (&row["live"], &row["tried"]) {
        (Value::Null, tried) => side(tried),
        (live, Value::Null) => side(live),
        (live, tried) => format!("{} (was {})", side(tried), side(live)),
    };
    format!(
        "{sign} {:<13} {} [{}] {sides}",
        printable(word(&row["level"])),
        title_text(word(&row["title"])),
        group,
    )
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
