//! `weir explain`: asks a running server to explain an alert, and prints the explanation as text.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use weir_schema::agent;

use crate::console;
use crate::exit::ExitError;
use crate::text::{group_text, printable, title_text};
use crate::verbs::client::ServerAccessArgs;
use crate::verbs::overrides::ServerDefaults;

/// Explain why an alert stands, or why it was retracted. The server must run.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Id of the alert, as in API and streams.
    alert: String,
    #[command(flatten)]
    server: ServerAccessArgs,
    /// Print the answers of the server, as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the explanation and the history of an alert.
pub fn explain(args: &ExplainArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    if args.alert.is_empty() || !args.alert.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = format!(
            "`{}` is not the id of an alert; it has only hexadecimal digits",
            printable(&args.alert)
        );
        return Err(ExitError::Usage(message).into());
    }
    let client = args.server.client(defaults)?;
    let get = |path: &str| -> Result<Value> {
        let path = format!("/api/v1/alerts/{}{path}", args.alert);
        let answer = client.get(&path)?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        match answer.status {
            200 => Ok(body),
            404 => bail!("the server knows no alert {}", args.alert),
            status => bail!(
                "the server answered {status}: {}",
                printable(text(&body["detail"]))
            ),
        }
    };
    let explanation = get("/explanation")?;
    let history = get("")?;
    if args.json {
        let changes = &history["changes"];
        console::out_json(&json!({ "explanation": explanation, "changes": changes }));
    } else {
        console::out(&explanation_text(&explanation, &history["changes"]));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The explanation of an alert and its changes, as text.
pub(crate) fn explanation_text(explanation: &Value, changes: &Value) -> String {
    let mut out = Vec::new();
    push_alert(explanation, &mut out);
    out.push("\nIt is based on:".to_owned());
    let events = list(&explanation["events"]);
    events.iter().for_each(|event| push_event(event, &mut out));
    let all = explanation["alert"]["count"].as_u64().unwrap_or(0);
    let shown = events.iter().map(weight).sum();
    let left_out = all.saturating_sub(shown);
    if left_out > 0 {
        let which = "repeated, or between the first and the last ones";
        out.push(format!("  ({left_out} more: {which})"));
    }
    out.push("\nIts changes:".to_owned());
    for change in list(changes) {
        out.push(format!(
            "  {:>3}. {:<9} {} events, {}; {}",
            printable(&change["revision"].to_string()),
            printable(text(&change["change"])),
            printable(&change["count"].to_string()),
            printable(text(&change["state"])),
            cause(&change["cause"]),
        ));
    }
    if !explanation["cause_event"].is_null() {
        out.push("\nThe event that caused the last change:".to_owned());
        push_event(&explanation["cause_event"], &mut out);
    }
    out.push(String::new());
    out.join("\n")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn push_alert(explanation: &Value, out: &mut Vec<String>) {
    let alert = &explanation["alert"];
    let stands = match alert["standing"].as_bool() {
        Some(true) if alert["state"] == "provisional" => "stands, provisionally",
        Some(true) => "stands",
        _ if alert["state"] == "superseded" => "was merged into another alert",
        _ => "was retracted",
    };
    out.push(format!(
        "Alert {} {stands}.\n",
        printable(text(&alert["alert"]))
    ));
    let word = |name: &str| printable(text(&alert[name]));
    let when = format!("{} to {}", word("first"), word("last"));
    let at_least = if alert["limited"] == true {
        "at least "
    } else {
        ""
    };
    let facts = [
        ("title", title_text(text(&alert["title"]))),
        ("level", word("level")),
        ("group", group(&alert["group"])),
        ("time", when),
        (
            "events",
            printable(&format!("{at_least}{}", alert["count"])),
        ),
        ("rule", word("rule")),
        ("version", word("version")),
        ("condition", printable(text(&explanation["condition"]))),
        ("tenant", word("tenant")),
    ];
    for (name, value) in facts {
        out.push(format!("  {name:<10}{value}"));
    }
    if let Some(mark) = alert["time_mark"].as_str() {
        let stated = alert["stated_time"].as_str().unwrap_or("no readable time");
        let times = format!(
            "{mark}: stated {stated}, received {}",
            word("received_time")
        );
        out.push(format!("  {:<10}{}", "mark", printable(&times)));
    }
}

fn group(group: &Value) -> String {
    let fields = group.as_object().into_iter().flatten();
    group_text(fields.map(|(name, value)| (&**name, text(value))))
}

/// The cause of a change.
fn cause(cause: &Value) -> String {
    let time = printable(text(&cause["time"]));
    match text(&cause["kind"]) {
        "event" => format!("because of an event of {time}"),
        "late_event" => format!("because of a late event of {time}"),
        "watermark" => format!("because the watermark passed {time}"),
        "rule" => format!(
            "because its rule became version {}",
            printable(text(&cause["version"]))
        ),
        "rule_removed" => "because its rule was removed".to_owned(),
        "upgrade" => "because a new version of Weir reads earlier events otherwise".to_owned(),
        other => format!("because of {}", printable(other)),
    }
}

fn push_event(event: &Value, out: &mut Vec<String>) {
    let (time, source) = (
        printable(text(&event["time"])),
        printable(text(&event["source"])),
    );
    let times = match weight(event) {
        1 => String::new(),
        weight => format!(", x{weight}"),
    };
    out.push(format!(
        "  {time} from {source}, received {}{times}",
        printable(text(&event["received"]))
    ));
    out.push(format!("      {}", raw(event)));
    for clause in event["clauses"].as_array().into_iter().flatten() {
        let value = match &clause["value"] {
            Value::Null => String::new(),
            value => format!("  <-  {}", printable(text(value))),
        };
        out.push(format!(
            "      matches {}{value}",
            printable(text(&clause["clause"]))
        ));
    }
}

/// The number of events for which the line of an event stands.
fn weight(event: &Value) -> u64 {
    event["weight"].as_u64().unwrap_or(1)
}

/// The raw bytes of an event: a line of text, the fields of an agent's event, or escaped bytes.
fn raw(event: &Value) -> String {
    let Some(bytes) = event["raw"].as_str().and_then(from_base64) else {
        return "(its bytes are no longer in the journal)".to_owned();
    };
    let is_agent = text(&event["source"]).starts_with("agent:");
    if is_agent && let Ok(event) = agent::decode_event(&bytes) {
        let fields = event.fields().into_iter().flatten();
        let fields = fields.map(|field| format!("{}={}", field.name(), field.value()));
        let kind = event.kind().into_iter().map(str::to_owned);
        let line = event.raw().into_iter().map(str::to_owned);
        let parts: Vec<String> = kind.chain(fields).chain(line).collect();
        return printable(&parts.join(" "));
    }
    match std::str::from_utf8(&bytes) {
        Ok(line) => printable(line),
        Err(_) => printable(&bytes.escape_ascii().to_string()),
    }
}

/// Decodes base64 (RFC 4648, section 4).
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut word = 0_u32;
        for place in 0..4 {
            let digit = four.get(place).map_or(Some(0), |byte| digit(*byte))?;
            word = word << 6 | u32::from(digit);
        }
        let [_, three @ ..] = word.to_be_bytes();
        bytes.extend_from_slice(three.get(..four.len().checked_sub(1)?)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("//4A+w==", b"\xff\xfe\0\xfb"),
        ] {
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
        }
        assert!(from_base64("Z").is_some_and(|bytes| bytes.is_empty()));
        assert_eq!(from_base64("Zm\n="), None);
    }

    #[test]
    fn a_line_that_stands_for_several_events_shows_how_many() {
        let explanation = json!({
            "alert": { "count": 13 },
            "events": [{ "source": "tcp:1" }, { "source": "tcp:1", "weight": 11 }],
        });
        let text = explanation_text(&explanation, &json!([]));
        assert!(text.contains("from tcp:1, received , x11\n"), "{text}");
        assert!(text.contains("(1 more: "), "{text}");
        assert_eq!(text.matches(", x").count(), 1, "{text}");
    }

    #[test]
    fn control_characters_of_logs_are_not_printed() {
        let explanation = json!({
            "alert": { "title": "T\u{1b}[2J", "standing": true, "count": 1 },
            "events": [{ "source": "tcp:1", "raw": "G1syShs=" }],
        });
        let changes = json!([{ "revision": "\u{9b}2J", "count": ["\u{7f}"] }]);
        let text = explanation_text(&explanation, &changes);
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
    }
}
