//! The audit log of Windows' DHCP server: `10,03/01/26,10:00:00,Assign,192.0.2.10,pc1,00005E005301,,…`.

use std::borrow::Cow;

use weir_schema::Value;

use crate::Context;
use crate::draft::Draft;
use crate::services::csv::Columns;
use crate::services::text::{FAILURE, SUCCESS, is_address};
use crate::time::{CivilTime, TimeCursor, Timestamp};

/// Ids of events, with the action and the outcome.
const EVENTS: [(i64, &str, Option<&str>); 27] = [
    (10, "ack", Some(SUCCESS)),
    (11, "renew", Some(SUCCESS)),
    (12, "release", None),
    (13, "conflict", Some(FAILURE)),
    (14, "nak", Some(FAILURE)),
    (15, "nak", Some(FAILURE)),
    (16, "delete", None),
    (17, "expire", None),
    (18, "expire", None),
    (20, "ack", Some(SUCCESS)),
    (21, "ack", Some(SUCCESS)),
    (22, "nak", Some(FAILURE)),
    (23, "delete", None),
    (30, "dns_update", None),
    (31, "dns_update", Some(FAILURE)),
    (32, "dns_update", Some(SUCCESS)),
    (33, "drop", Some(FAILURE)),
    (36, "drop", Some(FAILURE)),
    (11000, "discover", None),
    (11001, "offer", None),
    (11002, "request", None),
    (11003, "request", None),
    (11004, "renew", None),
    (11005, "renew", None),
    (11006, "decline", Some(FAILURE)),
    (11007, "release", None),
    (11008, "inform", None),
];

/// Columns, by position.
const COLUMNS: [(usize, &str); 5] = [
    (3, "description"),
    (5, "src_host"),
    (6, "src_mac"),
    (7, "user"),
    (8, "transaction_id"),
];

/// Reads an entry. Returns false, with nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some((id, time)) = start(message, context) else {
        return false;
    };
    let columns = Columns::of(message);
    if columns.len() < 7 {
        return false;
    }
    draft.logsource.category = Some("dhcp");
    draft.logsource.product = Some("windows");
    draft.logsource.service = Some("dhcp-server");
    draft.message = Cow::Borrowed(message);
    draft.time = time;
    draft.add("event_id", Value::Int(id));
    if let Some((_, action, outcome)) = EVENTS.iter().find(|(known, ..)| *known == id) {
        draft.add_text("action", action);
        if let Some(outcome) = outcome {
            draft.add_text("outcome", outcome);
        }
    }
    if let Some(address) = columns.at(4).filter(|address| is_address(address)) {
        draft.add("src_ip", Value::Text(address.clone()));
    }
    for (at, name) in COLUMNS {
        if let Some(value) = columns.at(at) {
            draft.add(name, Value::Text(value.clone()));
        }
    }
    true
}

/// Reads the id, the date and the time of day, which are local. Two digits mean a year since 2000.
fn start(message: &str, context: &Context<'_>) -> Option<(i64, Option<Timestamp>)> {
    let (id, rest) = message.split_once(',').filter(|(id, _)| id.len() <= 5)?;
    let mut at = TimeCursor(rest.as_bytes());
    let month = at.digits(2)?;
    at.one_of(b"/")?;
    let day = at.digits(2)?;
    at.one_of(b"/")?;
    let year = match at.digits(4) {
        Some(year) => i64::from(year),
        None => 2000 + i64::from(at.digits(2)?),
    };
    at.one_of(b",")?;
    let civil: CivilTime = at.time_of_day(year, month, day)?;
    Some((id.parse().ok()?, civil.timestamp(None, context.zone)))
}
