//! Sessions of Juniper SRX in its unstructured form: `RT_FLOW_SESSION_DENY: session denied
//! 192.0.2.4/56639->198.51.100.8/22 0x0 junos-ssh 6(0) …`.

use weir_schema::Value;

use crate::draft::Draft;
use crate::services::text::{FAILURE, SUCCESS, add_action, is_address, is_port, split_at_first};

/// Adds the common names of a session in structured data, whose element has this name.
pub(crate) fn read_data(element: &str, draft: &mut Draft<'_>) {
    const NAMES: [(&str, &str); 5] = [
        ("source-address", "src_ip"),
        ("destination-address", "dst_ip"),
        ("source-port", "src_port"),
        ("destination-port", "dst_port"),
        ("username", "user"),
    ];
    draft.logsource.product = Some("juniper");
    draft.logsource.category = Some("firewall");
    for (name, common) in NAMES {
        let Some(Value::Text(value)) = draft.get(&format!("{element}.{name}")) else {
            continue;
        };
        let value = match common {
            "src_ip" | "dst_ip" if is_address(value) => Value::Text(value.clone()),
            "src_port" | "dst_port" if is_port(value) => Value::Int(value.parse().unwrap_or(0)),
            "user" if !matches!(value.as_ref(), "" | "N/A" | "UNKNOWN") => {
                Value::Text(value.clone())
            }
            _ => continue,
        };
        draft.add(common, value);
    }
    let event = draft.get("msgid").and_then(Value::as_text);
    let event = event.map(|event| event.into_owned()).unwrap_or_default();
    add_verdict(&event, draft);
}

fn add_verdict(event: &str, draft: &mut Draft<'_>) {
    if event.ends_with("_DENY") {
        add_action("deny", FAILURE, draft);
    } else if event.ends_with("_CREATE") {
        add_action("connect", SUCCESS, draft);
    } else if event.ends_with("_CLOSE") {
        draft.add_text("action", "disconnect");
    }
}

/// Reads a session. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((event, text)) = message.split_once(": ") else {
        return false;
    };
    let Some((before, after)) = split_at_first(text, "->") else {
        return false;
    };
    let source = before.rsplit(' ').next().unwrap_or(before);
    let target = after.split(' ').next().unwrap_or(after);
    let (Some((source, source_port)), Some((target, target_port))) =
        (source.split_once('/'), target.split_once('/'))
    else {
        return false;
    };
    if !is_address(source) || !is_address(target) {
        return false;
    }
    draft.logsource.product = Some("juniper");
    draft.logsource.category = Some("firewall");
    draft.add_text("event", event);
    draft.add_text("src_ip", source);
    draft.add_text("dst_ip", target);
    for (name, port) in [("src_port", source_port), ("dst_port", target_port)] {
        if is_port(port) {
            draft.add_number(name, port);
        }
    }
    add_verdict(event, draft);
    true
}
