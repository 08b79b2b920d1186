//! Packets that the filter of pfSense and OPNsense logged: comma-separated columns.

use weir_schema::Value;

use crate::draft::Draft;
use crate::services::csv::Columns;
use crate::services::text::{FAILURE, SUCCESS, is_address};

/// Columns in front of the version of IP, by position.
const START: [(usize, &str); 7] = [
    (0, "rule"),
    (2, "anchor"),
    (3, "tracker"),
    (4, "interface"),
    (5, "reason"),
    (6, "action"),
    (7, "direction"),
];

const V4: [(usize, &str); 4] = [
    (16, "proto"),
    (17, "length"),
    (18, "src_ip"),
    (19, "dst_ip"),
];
const V6: [(usize, &str); 4] = [
    (12, "proto"),
    (14, "length"),
    (15, "src_ip"),
    (16, "dst_ip"),
];

/// Reads `97,,,1000000101,em0,match,block,in,4,…`. Returns false, with nothing changed, for other
/// messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let columns = Columns::of(message);
    let (addresses, ports) = match columns.at(8).map(AsRef::as_ref) {
        Some("4") => (&V4, 20),
        Some("6") => (&V6, 17),
        _ => return false,
    };
    let [.., (_, "src_ip"), (target, _)] = addresses else {
        return false;
    };
    if !columns
        .at(*target)
        .is_some_and(|address| is_address(address))
    {
        return false;
    }
    draft.logsource.category = Some("firewall");
    draft.logsource.service = Some("filterlog");
    for (at, name) in START.iter().chain(addresses) {
        if let Some(value) = columns.at(*at) {
            draft.add(*name, Value::Text(value.clone()));
        }
    }
    let proto = draft.get("proto").and_then(Value::as_text);
    let has_ports = proto.is_some_and(|proto| {
        proto.eq_ignore_ascii_case("tcp") || proto.eq_ignore_ascii_case("udp")
    });
    for (at, name) in [(ports, "src_port"), (ports + 1, "dst_port")] {
        if let Some(number) = columns
            .at(at)
            .filter(|_| has_ports)
            .and_then(|v| v.parse().ok())
        {
            draft.add(name, Value::Int(number));
        }
    }
    match columns.at(6).map(AsRef::as_ref) {
        Some("pass") => draft.add_text("outcome", SUCCESS),
        Some("block" | "reject") => draft.add_text("outcome", FAILURE),
        _ => {}
    }
    true
}
