//! Cisco Umbrella's exports: DNS and proxy logs, whose columns are all in quotes.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;
use crate::services::csv::Columns;
use crate::services::text::{FAILURE, SUCCESS, is_address};
use crate::time;

/// Columns of the DNS log.
const DNS: [(usize, &str); 6] = [
    (1, "identity"),
    (2, "identities"),
    (7, "rcode"),
    (8, "query"),
    (9, "categories"),
    (10, "identity_type"),
];

/// Columns of the proxy log.
const PROXY: [(usize, &str); 7] = [
    (1, "identity"),
    (5, "sc-content-type"),
    (7, "url"),
    (8, "cs-referer"),
    (9, "cs-user-agent"),
    (10, "sc-status"),
    (12, "sc-bytes"),
];

/// Reads `"2026-03-01 10:00:00","ann","ann,pc1","10.0.0.7","203.0.113.5","Allowed","1 (A)","NOERROR",…`.
/// Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    // The date and the comma behind it tell.
    let bytes = message.as_bytes();
    if bytes.first() != Some(&b'"') || bytes.get(20..23) != Some(b"\",\"") {
        return false;
    }
    // The exports are in UTC.
    let Some(time) = message
        .get(1..20)
        .and_then(|text| time::iso(text, time::Zone::UTC))
    else {
        return false;
    };
    let columns = Columns::of(message);
    let text = |at: usize| columns.at(at).map_or("", AsRef::as_ref);
    if is_verdict(text(5)) && is_address(text(4)) {
        draft.logsource.category = Some("dns");
        add(&columns, &DNS, draft);
        add_dns(&columns, draft);
    } else if is_verdict(text(6)) && is_address(text(2)) {
        draft.logsource.category = Some("proxy");
        add(&columns, &PROXY, draft);
        add_address(&columns, 2, "src_ip", draft);
        add_address(&columns, 4, "dst_ip", draft);
        add_verdict(text(6), draft);
    } else {
        return false;
    }
    draft.logsource.product = Some("umbrella");
    draft.message = Cow::Borrowed(message);
    draft.time = Some(time);
    true
}

fn is_verdict(text: &str) -> bool {
    ["allowed", "blocked", "proxied"]
        .iter()
        .any(|verdict| text.eq_ignore_ascii_case(verdict))
}

fn add<'a>(columns: &Columns<'a>, names: &[(usize, &'static str)], draft: &mut Draft<'a>) {
    for (at, name) in names {
        let Some(value) = columns.at(*at) else {
            continue;
        };
        let value = match value.strip_suffix('.') {
            Some(plain) if *name == "query" => Cow::Owned(plain.to_owned()),
            _ => value.clone(),
        };
        draft.add(*name, Value::Text(value));
    }
}

fn add_dns<'a>(columns: &Columns<'a>, draft: &mut Draft<'a>) {
    // `1 (A)`
    if let Some(kind) = columns.at(6) {
        let kind = kind
            .split_once('(')
            .map_or(kind.as_ref(), |(_, kind)| kind.trim_end_matches(')'));
        draft.add("record_type", Value::Text(Cow::Owned(kind.to_owned())));
    }
    add_address(columns, 3, "src_ip", draft);
    add_address(columns, 4, "external_ip", draft);
    add_verdict(columns.at(5).map_or("", AsRef::as_ref), draft);
}

fn add_address<'a>(columns: &Columns<'a>, at: usize, name: &'static str, draft: &mut Draft<'a>) {
    if let Some(address) = columns.at(at).filter(|address| is_address(address)) {
        draft.add(name, Value::Text(address.clone()));
    }
}

fn add_verdict(verdict: &str, draft: &mut Draft<'_>) {
    let (action, outcome) = if verdict.eq_ignore_ascii_case("blocked") {
        ("block", FAILURE)
    } else {
        ("allow", SUCCESS)
    };
    draft.add_text("action", action);
    draft.add_text("outcome", outcome);
}
