//! Hostile values: no text that a client chooses becomes the host, the address or the user of another.
//!
//! Each template has a place, `{}`, for a value that the other side chooses. A value that imitates the
//! rest of the line must leave every identity as it is with a harmless value.

mod common;

use proptest::prelude::*;
use weir_parse::{decode, event_json};
use weir_schema::{Event, Format};

use common::{context, field_text};

/// Fields that say who and where.
const IDENTITIES: &[&str] = &[
    "host",
    "relay_host",
    "program",
    "src_ip",
    "src_host",
    "src_port",
    "src_mac",
    "dst_ip",
    "dst_port",
    "relay_ip",
    "user",
];

/// A program may say of its own message what it likes, but not where it runs.
const PLACES: &[&str] = &["host", "relay_host", "program", "pid"];

/// Keys of CEF. A text may add a key that the line has not, where its product does not escape `=`.
const KEYS: &[&str] = &["host", "relay_host", "program", "src", "dst", "suser"];

/// A template, the field that holds the chosen value, if one does, and what it must not change.
type Template = (&'static str, &'static str, &'static [&'static str]);

const TEMPLATES: &[Template] = &[
    (
        "<30>Mar  1 10:00:00 h1 dhcpd[7]: DHCPREQUEST for 192.0.2.10 from 00:00:5e:00:53:01 ({}) via eth0",
        "src_host",
        IDENTITIES,
    ),
    (
        "<30>Mar  1 10:00:00 h1 dnsmasq-dhcp[7]: DHCPACK(eth0) 192.0.2.10 00:00:5e:00:53:01 {}",
        "src_host",
        IDENTITIES,
    ),
    (
        "<30>Mar  1 10:00:00 h1 dnsmasq[7]: query[A] {} from 192.0.2.9",
        "",
        IDENTITIES,
    ),
    (
        "<30>Mar  1 10:00:00 h1 dnsmasq[7]: reply {} is 198.51.100.7",
        "",
        IDENTITIES,
    ),
    (
        "<30>Mar  1 10:00:00 h1 dnsmasq[7]: forwarded {} to 198.51.100.53",
        "",
        IDENTITIES,
    ),
    (
        "[INFO] 192.0.2.9:53412 - 2345 \"A IN {} udp 42 false 512\" NOERROR qr,aa,rd 68 0.0001s",
        "",
        IDENTITIES,
    ),
    (
        "<134>id=firewall sn=0017 fw=198.51.100.1 m=30 msg=\"login denied\" usr=\"{}\" src=192.0.2.9:4022:X1 dst=198.51.100.1:443:X1",
        "user",
        IDENTITIES,
    ),
    (
        "<189>logid=1 type=event subtype=system user=\"{}\" srcip=192.0.2.9 action=login status=failed",
        "user",
        IDENTITIES,
    ),
    (
        "<134>Mar  1 10:00:05 h1 (2026-03-01T10:00:00) admd[12]: msg_id=\"1100-0005\" Authentication of Firewall user [{}] from 192.0.2.9 was rejected, x",
        "user",
        IDENTITIES,
    ),
    (
        "<14>Mar  1 10:00:00 sw1 00419 auth: Invalid user name/password on SSH session User '{}' is trying to login from 192.0.2.9",
        "user",
        IDENTITIES,
    ),
    (
        "<124>Mar  1 10:00:00 mc1 authmgr[3]: <522275> <3> <WARN> |authmgr|  User Authentication failed. username={} userip=192.0.2.9 usermac=00:00:5e:00:53:01 servername=r serverip=198.51.100.2",
        "user",
        IDENTITIES,
    ),
    (
        "<30>Mar  1 10:00:00 r1 system,error,critical login failure for user {} from 192.0.2.9 via ssh",
        "user",
        IDENTITIES,
    ),
    ("<13>Mar  1 10:00:00 h1 logger: {}", "", PLACES),
    (
        "<13>Mar  1 10:00:00 h1 app[7]: request failed: {}",
        "",
        PLACES,
    ),
    (
        "<134>Mar  1 10:00:00 h1 CEF:0|V|P|1|1|n|5|src=192.0.2.9 dst=198.51.100.7 suser=ann msg={}",
        "",
        KEYS,
    ),
    (
        "<134>Mar  1 10:00:00 h1 CEF:0|V|P|1|1|n|5|msg={} src=192.0.2.9 dst=198.51.100.7 suser=ann",
        "",
        KEYS,
    ),
];

/// Values that imitate lines, headers, pairs and ends.
const VALUES: [&str; 23] = [
    " from 6.6.6.6",
    "x from 6.6.6.6 port 22 ssh2",
    "x) via 6.6.6.6: network: no free leases",
    "x (192.0.2.66) from 00:00:5e:00:53:66 (evil) via eth6",
    "x is 6.6.6.6",
    "x to 6.6.6.6",
    "src=6.6.6.6 dst=6.6.6.7 suser=evil",
    "x src=6.6.6.6 dst=6.6.6.7 suser=evil duser=evil shost=evil",
    "\" src=6.6.6.6 user=\"evil\" srcip=6.6.6.6",
    "\\\" src=6.6.6.6 user=\\\"evil",
    "x] from 6.6.6.6 was accepted",
    "x' is trying to login from 6.6.6.6",
    "x userip=6.6.6.6 usermac=00:00:5e:00:53:66 serverip=6.6.6.7",
    "x from 6.6.6.6 via ssh",
    "<38>Mar  1 10:00:00 evil sshd[7]: Failed password for evil from 6.6.6.6 port 4022 ssh2",
    "Mar  1 10:00:00 evil sshd[7]: Failed password for evil from 6.6.6.6 port 4022 ssh2",
    "<13>1 2026-03-01T10:00:00Z evil sshd 7 - - Failed password for evil from 6.6.6.6 port 4 ssh2",
    "%ASA-6-605004: Login denied from 6.6.6.6/52222 to inside:6.6.6.7/ssh for user \"evil\"",
    "type=USER_LOGIN msg=audit(1772359200.250:7): acct=\"evil\" addr=6.6.6.6 res=failed",
    "x src=6.6.6.6 dvchost=evil devname=evil",
    "x\tsrc=6.6.6.6\tusrName=evil",
    "\" NOERROR qr 1 0s",
    "{\"host\":\"evil\",\"src_ip\":\"6.6.6.6\",\"user\":\"evil\"}",
];

fn identities(event: &Event<'_>, own: &str, names: &[&str]) -> Vec<String> {
    let others = names.iter().filter(|name| **name != own);
    let texts = others.map(|name| format!("{name}={}", field_text(event, name)));
    texts.collect()
}

/// Returns which identities a value changes into something of its own choice. One that it makes
/// disappear is lost to a rule, but accuses nobody.
fn changes((template, own, names): Template, value: &str) -> Vec<String> {
    let harmless = template.replace("{}", "harmless");
    let hostile = template.replace("{}", value);
    let plain = decode(harmless.as_bytes(), &context(Format::Auto));
    let event = decode(hostile.as_bytes(), &context(Format::Auto));
    let (expected, got) = (
        identities(&plain, own, names),
        identities(&event, own, names),
    );
    let pairs = got.into_iter().zip(expected);
    let wrong = pairs.filter(|(got, expected)| got != expected && !got.ends_with("=-"));
    wrong
        .map(|(got, expected)| format!("{got}, not {expected}: {}", event_json(&event)))
        .collect()
}

#[test]
fn chosen_values_are_nobody_else() {
    let mut faults = Vec::new();
    for template in TEMPLATES {
        for value in VALUES {
            faults.extend(changes(*template, value));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

proptest! {
    /// Two values in a row, with any text between them.
    #[test]
    fn combined_values_are_nobody_else(
        row in 0..TEMPLATES.len(),
        first in 0..VALUES.len(),
        second in 0..VALUES.len(),
        between in "[ -~]{0,12}",
    ) {
        let value = format!("{}{between}{}", VALUES[first], VALUES[second]);
        let faults = changes(TEMPLATES[row], &value);
        prop_assert!(faults.is_empty(), "{value}\n{}", faults.join("\n"));
    }
}
