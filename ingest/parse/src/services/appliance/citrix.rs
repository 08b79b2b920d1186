//! Events of Citrix ADC: `0-PPE-0 : default SSLVPN LOGIN 1001 0 :  Context ann@192.0.2.9 - User ann - …`.

use std::borrow::Cow;

use crate::draft::Draft;
use crate::services::text::{
    FAILURE, SUCCESS, add_action, host_and_port, is_address, split_at_first,
};

/// Most parts of an event.
const PARTS_MAX: usize = 64;

/// Reads an event. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((engine, rest)) = message.split_once(" : ") else {
        return false;
    };
    if engine.len() > 16 || !engine.contains("-PPE-") {
        return false;
    }
    let Some((head, text)) = split_at_first(rest, " : ") else {
        return false;
    };
    let mut words = head
        .split_ascii_whitespace()
        .skip_while(|word| *word == "default");
    let (Some(module), Some(event)) = (words.next(), words.next()) else {
        return false;
    };
    draft.logsource.product = Some("citrix");
    draft.message = Cow::Borrowed(message);
    draft.add_text("engine", engine);
    draft.add_text("module", module);
    draft.add_text("event", event);
    match event {
        "LOGIN" => add_action("login", SUCCESS, draft),
        "LOGIN_FAILED" | "LOGIN_FAILURE" => add_action("login", FAILURE, draft),
        "LOGOUT" => draft.add_text("action", "session_close"),
        "CMD_EXECUTED" => draft.add_text("action", "command"),
        _ => {}
    }
    for part in text.split("- ").take(PARTS_MAX) {
        let part = part.trim_ascii();
        let Some((name, value)) = part.split_once([' ', ':']) else {
            continue;
        };
        add(name, value.trim_ascii().trim_matches('"'), draft);
    }
    true
}

fn add<'a>(name: &str, value: &'a str, draft: &mut Draft<'a>) {
    let (address, port) = host_and_port(value.split(' ').next().unwrap_or(value));
    let (address_name, port_name) = match name {
        "User" if !value.is_empty() => return draft.add_text("user", value),
        "Command" => return draft.add_text("command", value),
        "Failure_reason" => return draft.add_text("reason", value),
        "Client_ip" | "Source" | "Remote_ip" => ("src_ip", "src_port"),
        "Vserver" | "Destination" => ("dst_ip", "dst_port"),
        _ => return,
    };
    if is_address(address) {
        draft.add_text(address_name, address);
        if let Some(port) = port {
            draft.add_number(port_name, port);
        }
    }
}
