//! Measures for each supported service the share of public test lines that decode with the labelled
//! host, user, program and outcome, and checks that it does not fall.

use std::collections::BTreeMap;

use chrono::DateTime;
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format};

use crate::common::{context, rows, stated_time, text};
use crate::labels::{add_crowdsec, add_fail2ban, add_wazuh};

/// Source, number of cases, and fewest correct ones. `docs/sources.md` shows the same numbers.
const SUPPORTED: [(&str, usize, usize); 20] = [
    ("access log", 173, 165),
    ("apache error log", 119, 118),
    ("cisco", 169, 168),
    ("dovecot", 104, 103),
    ("dropbear", 16, 16),
    ("exim", 82, 79),
    ("haproxy", 9, 9),
    ("kernel", 60, 60),
    ("named", 46, 46),
    ("nginx error log", 71, 70),
    ("openvpn", 18, 18),
    ("pam", 14, 14),
    ("postfix", 74, 74),
    ("proftpd", 22, 22),
    ("pure-ftpd", 31, 31),
    ("smbd", 6, 6),
    ("sshd", 408, 407),
    ("su", 5, 5),
    ("sudo", 10, 10),
    ("vsftpd", 15, 15),
];

/// The zone of the times in fail2ban's tests. They use Zurich, whose time is that of Berlin.
const ZONE: chrono_tz::Tz = chrono_tz::Tz::Europe__Berlin;

fn plain(address: &str) -> &str {
    let v4 = address.strip_prefix("::ffff:");
    v4.filter(|v4| v4.contains('.')).unwrap_or(address)
}

/// Returns whether the event has the expected value.
fn holds(event: &Event<'_>, name: &str, value: &str) -> bool {
    let got = |name: &str| text(event, name);
    let logsource = &event.logsource;
    match name {
        "src" => [got("src_ip"), got("src_host")].contains(&Some(plain(value).to_owned())),
        "time" => {
            // The corpus adds its own year to lines without one.
            let local = DateTime::from_timestamp_nanos(stated_time(event).0).with_timezone(&ZONE);
            let local = local.format("%m-%dT%H:%M:%S").to_string();
            value.get(5..) == Some(local.as_str())
        }
        "outcome" if value == "no success" => got("outcome").as_deref() != Some("success"),
        // The corpus omits the query or the scheme of some.
        "uri" => ["cs-uri", "cs-uri-stem"]
            .iter()
            .any(|name| got(name).is_some_and(|uri| uri.ends_with(value))),
        "source" => match value {
            // PAM writes as the program that uses it.
            "pam" => true,
            "access log" => logsource.category.as_deref() == Some("webserver"),
            "apache error log" => logsource.product.as_deref() == Some("apache"),
            "nginx error log" => logsource.product.as_deref() == Some("nginx"),
            "haproxy" => logsource.product.as_deref() == Some("haproxy"),
            "cisco" => logsource.product.as_deref() == Some("cisco"),
            "kernel" => logsource.product.as_deref() == Some("linux"),
            service => logsource.service.as_deref() == Some(service),
        },
        name => got(name).as_deref() == Some(value),
    }
}

#[derive(Default)]
struct Share {
    cases: usize,
    correct: usize,
    by_corpus: BTreeMap<&'static str, usize>,
}

#[test]
fn decode_supported_services() {
    let test = "decode_supported_services";
    let (Some(fail2ban), Some(wazuh), Some(crowdsec)) = (
        rows(test, "syslog/fail2ban_cases.jsonl"),
        rows(test, "syslog/wazuh_cases.jsonl"),
        rows(test, "syslog/crowdsec/cases.jsonl"),
    ) else {
        return;
    };
    let mut cases = Vec::new();
    add_fail2ban(&mut cases, &fail2ban);
    add_wazuh(&mut cases, &wazuh);
    add_crowdsec(&mut cases, &crowdsec);
    let berlin = Context {
        zone: Zone::parse("Europe/Berlin").unwrap(),
        ..context(Format::Auto)
    };
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for case in &cases {
        let event = decode(case.line.as_bytes(), &berlin);
        let wrong: Vec<_> = case
            .expected
            .iter()
            .filter(|(name, value)| !holds(&event, name, value))
            .collect();
        let share = shares.entry(case.source).or_default();
        share.cases += 1;
        share.correct += usize::from(wrong.is_empty());
        *share.by_corpus.entry(case.corpus).or_default() += 1;
        if !wrong.is_empty() {
            let json = event_json(&event);
            println!(
                "{} ({}): {wrong:?}\n  {}\n  {json}",
                case.source, case.corpus, case.line
            );
        }
    }
    println!("source, cases, correct, share, cases by corpus");
    for (source, share) in &shares {
        let percent = 100.0 * share.correct as f64 / share.cases as f64;
        println!(
            "{source}, {}, {}, {percent:.1} %, {:?}",
            share.cases, share.correct, share.by_corpus
        );
    }
    for (source, cases, correct) in SUPPORTED {
        let share = &shares[source];
        assert!(share.cases >= cases, "{source}: {} cases", share.cases);
        assert!(share.correct >= correct, "{source}: {}", share.correct);
        // Weir calls a source supported if at least 95 of 100 lines are right.
        assert!(share.correct * 100 >= share.cases * 95, "{source}");
    }
    assert_eq!(
        shares.len(),
        SUPPORTED.len(),
        "every measured source must be in the table"
    );
}
