//! `weir explain`: asks the running server why an alert stands, and says it in words.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use weir_schema::agent;

use crate::cli::Failure;
use crate::http::ServerArgs;
use crate::observe::shown;

/// Says why an alert stands, or why it was taken back. The server must run.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Id of the alert, as API and streams say it.
    alert: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print what the server said, as JSON.
    #[arg(long)]
    json: bool,
}

/// Explains.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode> {
    if args.alert.is_empty() || !args.alert.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let told = format!(
            "`{}` is no id of an alert; it has hexadecimal digits only",
            shown(&args.alert)
        );
        return Err(Failure::Usage(told).into());
    }
    let server = args.server.server()?;
    let ask = |path: &str| -> Result<Value> {
        let path = format!("/api/v1/alerts/{}{path}", args.alert);
        let answer = server.get(&path)?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        match answer.status {
            200 => Ok(body),
            404 => bail!("the server knows no alert {}", args.alert),
            status => bail!(
                "the server answered {status}: {}",
                shown(text(&body["detail"]))
            ),
        }
    };
    let explanation = ask("/explanation")?;
    let history = ask("")?;
    if args.json {
        let changes = &history["changes"];
        println!(
            "{}",
            json!({ "explanation": explanation, "changes": changes })
        );
    } else {
        print!("{}", words(&explanation, &history["changes"]));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn words(explanation: &Value, changes: &Value) -> String {
    let mut out = Vec::new();
    say_alert(explanation, &mut out);
    out.push("\nIt rests on:".to_owned());
    let events = list(&explanation["events"]);
    events.iter().for_each(|event| say_event(event, &mut out));
    let all = explanation["alert"]["count"].as_u64().unwrap_or(0);
    let left_out = all.saturating_sub(events.len() as u64);
    if left_out > 0 {
        let what = "the same again, or between the first and the last ones";
        out.push(format!("  ({left_out} more: {what})"));
    }
    out.push("\nWhat was said of it:".to_owned());
    for change in list(changes) {
        out.push(format!(
            "  {:>3}. {:<9} {} events, {}; {}",
            shown(&change["revision"].to_string()),
            shown(text(&change["change"])),
            shown(&change["count"].to_string()),
            shown(text(&change["state"])),
            because(&change["cause"]),
        ));
    }
    if !explanation["cause_event"].is_null() {
        out.push("\nThe event that brought the last of these about:".to_owned());
        say_event(&explanation["cause_event"], &mut out);
    }
    out.push(String::new());
    out.join("\n")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn say_alert(explanation: &Value, out: &mut Vec<String>) {
    let alert = &explanation["alert"];
    let stands = match alert["standing"].as_bool() {
        Some(true) if alert["state"] == "provisional" => "stands, provisionally",
        Some(true) => "stands",
        _ if alert["state"] == "superseded" => "became one with another alert",
        _ => "was taken back",
    };
    out.push(format!(
        "Alert {} {stands}.\n",
        shown(text(&alert["alert"]))
    ));
    let when = format!("{} to {}", text(&alert["first"]), text(&alert["last"]));
    let at_least = if alert["limited"] == true {
        "at least "
    } else {
        ""
    };
    let facts = [
        ("what", text(&alert["title"])),
        ("level", text(&alert["level"])),
        ("group", &group(&alert["group"])),
        ("when", &when),
        ("events", &format!("{at_least}{}", alert["count"])),
        ("rule", text(&alert["rule"])),
        ("version", text(&alert["version"])),
        ("asks for", text(&explanation["condition"])),
        ("tenant", text(&alert["tenant"])),
    ];
    for (name, value) in facts {
        out.push(format!("  {name:<10}{}", shown(value)));
    }
}

fn group(group: &Value) -> String {
    let fields = group.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| format!("{name}={}", text(value)));
    fields.collect::<Vec<_>>().join(" ")
}

fn because(cause: &Value) -> String {
    let time = shown(text(&cause["time"]));
    match text(&cause["kind"]) {
        "event" => format!("because of an event of {time}"),
        "late_event" => format!("because an event of {time} came in late"),
        "watermark" => format!("because all was heard up to {time}"),
        "rule" => format!(
            "because its rule became version {}",
            shown(text(&cause["version"]))
        ),
        "rule_removed" => "because its rule was removed".to_owned(),
        other => format!("because of {}", shown(other)),
    }
}

fn say_event(event: &Value, out: &mut Vec<String>) {
    let (time, source) = (shown(text(&event["time"])), shown(text(&event["source"])));
    out.push(format!(
        "  {time} from {source}, received {}",
        shown(text(&event["received"]))
    ));
    out.push(format!("      {}", raw(event)));
    for clause in event["clauses"].as_array().into_iter().flatten() {
        let value = match &clause["value"] {
            Value::Null => String::new(),
            value => format!("  <-  {}", shown(text(value))),
        };
        out.push(format!(
            "      matches {}{value}",
            shown(text(&clause["clause"]))
        ));
    }
}

/// The event's own bytes: a line as it is, an agent's event by its fields, else escaped.
fn raw(event: &Value) -> String {
    let Some(bytes) = event["raw"].as_str().and_then(from_base64) else {
        return "(its bytes are not in the journal any more)".to_owned();
    };
    let is_agent = text(&event["source"]).starts_with("agent:");
    if is_agent && let Ok(event) = agent::event(&bytes) {
        let fields = event.fields().into_iter().flatten();
        let fields = fields.map(|field| format!("{}={}", field.name(), field.value()));
        let kind = event.kind().into_iter().map(str::to_owned);
        let line = event.raw().into_iter().map(str::to_owned);
        let parts: Vec<String> = kind.chain(fields).chain(line).collect();
        return shown(&parts.join(" "));
    }
    match std::str::from_utf8(&bytes) {
        Ok(line) => shown(line),
        Err(_) => shown(&bytes.escape_ascii().to_string()),
    }
}

/// Reads base64 (RFC 4648, section 4).
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            // No other character is a digit.
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
    fn base64_is_read_back() {
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
    fn what_a_log_says_cannot_move_the_cursor() {
        let explanation = json!({
            "alert": { "title": "T\u{1b}[2J", "standing": true, "count": 1 },
            "events": [{ "source": "tcp:1", "raw": "G1syShs=" }],
        });
        let changes = json!([{ "revision": "\u{9b}2J", "count": ["\u{7f}"] }]);
        let words = words(&explanation, &changes);
        assert!(
            !words.contains(|c: char| c.is_control() && c != '\n'),
            "{words:?}"
        );
    }
}
