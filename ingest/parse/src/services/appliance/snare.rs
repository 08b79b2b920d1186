//! Windows events that Snare sends: columns behind `MSWinEventLog`, the last of them the message as
//! Windows shows it.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;

/// Labels of the message: the section, the label, the name in the event's data.
const LABELS: [(&str, &str, &str); 20] = [
    ("Subject", "Account Name", "SubjectUserName"),
    ("Subject", "Account Domain", "SubjectDomainName"),
    ("Subject", "Logon ID", "SubjectLogonId"),
    ("New Logon", "Account Name", "TargetUserName"),
    ("New Logon", "Account Domain", "TargetDomainName"),
    (
        "Account For Which Logon Failed",
        "Account Name",
        "TargetUserName",
    ),
    (
        "Account For Which Logon Failed",
        "Account Domain",
        "TargetDomainName",
    ),
    (
        "Account That Was Locked Out",
        "Account Name",
        "TargetUserName",
    ),
    ("Target Account", "Account Name", "TargetUserName"),
    ("New Account", "Account Name", "TargetUserName"),
    ("Account Information", "Account Name", "TargetUserName"),
    ("", "Source Network Address", "IpAddress"),
    ("", "Client Address", "IpAddress"),
    ("", "Source Port", "IpPort"),
    ("", "Client Port", "IpPort"),
    ("", "Workstation Name", "WorkstationName"),
    ("", "Logon Type", "LogonType"),
    ("", "New Process Name", "NewProcessName"),
    ("", "Process Command Line", "CommandLine"),
    ("", "Failure Reason", "FailureReason"),
];

/// Most parts of a message.
const PARTS_MAX: usize = 200;

/// Reads `MSWinEventLog<TAB>1<TAB>Security<TAB>…`. A forwarder may have escaped the tabs. Returns false,
/// with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(rest) = message.strip_prefix("MSWinEventLog") else {
        return false;
    };
    let separator = if rest.starts_with('\t') { "\t" } else { "#011" };
    let Some(rest) = rest.strip_prefix(separator) else {
        return false;
    };
    let columns: Vec<&str> = rest.splitn(14, separator).collect();
    let [
        _,
        channel,
        _,
        _,
        id,
        provider,
        user,
        _,
        kind,
        computer,
        category,
        _,
        text,
        ..,
    ] = columns.as_slice()
    else {
        return false;
    };
    let Ok(id) = id.parse::<i64>() else {
        return false;
    };
    draft.logsource.product = Some("windows");
    draft.message = Cow::Borrowed(text.trim_ascii());
    draft.add("EventID", Value::Int(id));
    for (name, value) in [
        ("Channel", channel),
        ("Provider_Name", provider),
        ("Computer", computer),
        ("EventType", kind),
        ("Category", category),
    ] {
        draft.add_text(name, value);
    }
    if !matches!(*user, "" | "N/A") {
        draft.add_text("UserName", user);
    }
    add_labels(text, draft);
    if let Some(host) = draft.get("host")
        && host.as_text().as_deref() != Some(*computer)
    {
        let relay = host.clone();
        draft.add("relay_host", relay);
    }
    draft.set_text("host", computer);
    true
}

/// Adds the labels of the message. Two or more spaces, or a tab, separate labels and values.
fn add_labels<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let parts = text
        .split(['\t', '\n', '\r'])
        .flat_map(|part| part.split("  "));
    let parts = parts.map(str::trim_ascii).filter(|part| !part.is_empty());
    let (mut section, mut label) = ("", "");
    for part in parts.take(PARTS_MAX) {
        if let Some(name) = part.strip_suffix(':') {
            // A label without a value is the name of a section.
            section = if label.is_empty() { section } else { label };
            label = name;
            continue;
        }
        let is_label = |name: &str| LABELS.iter().any(|(_, label, _)| *label == name);
        let (name, value) = match part.split_once(": ") {
            Some((name, value)) if label.is_empty() || is_label(name) => {
                section = if label.is_empty() { section } else { label };
                (name, value)
            }
            _ => (label, part),
        };
        let known = LABELS
            .iter()
            .find(|(of, known, _)| *known == name && (of.is_empty() || *of == section));
        if let Some((_, _, field)) = known
            && value != "-"
        {
            draft.add_text(field, value);
        }
        label = "";
    }
}
