//! Times that the writer of a log chose: attacks with every date, against a real server.

mod support;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::Value;
use support::{Weir, config, until};

/// How an attack is dated, and the mark that its alerts get.
struct Dating {
    name: &'static str,
    time: DateTime<Utc>,
    mark: Option<&'static str>,
    /// Whether the guessed passwords are told, too, and not the root shell alone.
    correlates: bool,
}

fn datings(now: DateTime<Utc>) -> Vec<Dating> {
    let dating = |name, time, mark: Option<&'static str>| Dating {
        name,
        time,
        mark,
        correlates: mark != Some("late_beyond_horizon"),
    };
    let date = |text: &str| text.parse().expect("a date");
    let future = Some("time_not_credible");
    let late = Some("late_beyond_horizon");
    vec![
        dating("now", now, None),
        dating("m4", now + Duration::minutes(4), None),
        dating("old-m10", now - Duration::minutes(10), None),
        dating("old-h23", now - Duration::hours(23), None),
        dating("m6", now + Duration::minutes(6), future),
        dating("h1", now + Duration::hours(1), future),
        dating("y10", now + Duration::days(3_650), future),
        dating("y1970", date("1970-01-01T00:00:09Z"), future),
        dating("y2106", date("2106-02-07T06:28:15Z"), future),
        dating("old-h25", now - Duration::hours(25), late),
        dating("old-d3", now - Duration::days(3), late),
    ]
}

/// Twelve failed logins and a root shell, on a host of this name.
fn attack(dating: &Dating, number: usize) -> String {
    let time = dating.time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let host = dating.name;
    let guess = |port| {
        format!(
            "<38>1 {time} {host} sshd 1 - - Failed password for root from 198.51.100.{number} \
             port {port} ssh2\n"
        )
    };
    let mut lines: String = (2_000..2_012).map(guess).collect();
    lines += &format!(
        "<85>1 {time} {host} sudo 1 - - alice : TTY=pts/0 ; PWD=/ ; USER=root ; \
         COMMAND=/bin/bash\n"
    );
    lines
}

/// The standing alerts about a host or an address: not those about sources, nor about all guesses at
/// one account.
fn alerts(weir: &Weir) -> Vec<Value> {
    let reply = weir.get("/api/v1/alerts?limit=1000").json();
    let all = reply["alerts"].as_array().cloned().unwrap_or_default();
    let is_about = |alert: &Value| {
        let (rule, group) = (alert["rule"].as_str(), &alert["group"]);
        let is_self = rule.is_some_and(|rule| rule.starts_with("weir."));
        !is_self && (group["host"].is_string() || group["src_ip"].is_string())
    };
    all.into_iter().filter(is_about).collect()
}

/// W3: the clock of a sender hides no attack. What is dated in the future or before 2000 counts at
/// its receipt; what is dated before the horizon raises every rule that is no correlation.
#[test]
fn w3_a_sender_cannot_hide_an_attack_by_its_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    weir.await_ready();
    let now = Utc::now();
    let line = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    // The settled line is a horizon behind the events so far.
    weir.send_tcp(format!("<14>1 {line} first app 1 - - hello\n").as_bytes());
    until("a watermark", || {
        (weir.metric("weir_watermark_seconds", "") > 0.0).then_some(())
    });
    let datings = datings(now);
    let correlated = datings.iter().filter(|dating| dating.correlates).count();
    for (number, dating) in (1..).zip(&datings) {
        weir.send_tcp(attack(dating, number).as_bytes());
    }
    let found = until("every attack", || {
        let found = alerts(&weir);
        (found.len() >= datings.len() + correlated).then_some(found)
    });
    assert_eq!(found.len(), datings.len() + correlated, "{found:#?}");
    for (number, dating) in (1..).zip(&datings) {
        let address = format!("198.51.100.{number}");
        let about = |alert: &&Value| {
            let group = &alert["group"];
            group["host"] == dating.name || group["src_ip"] == address
        };
        let own: Vec<&Value> = found.iter().filter(about).collect();
        let expected = 1 + usize::from(dating.correlates);
        assert_eq!(own.len(), expected, "{}: {own:#?}", dating.name);
        for alert in own {
            assert_eq!(alert["time_mark"].as_str(), dating.mark, "{alert:#}");
            let stated = dating.time.to_rfc3339_opts(SecondsFormat::Nanos, true);
            let stated = dating.mark.map(|_| &stated[..19]);
            let shown = alert["stated_time"].as_str().map(|time| &time[..19]);
            assert_eq!(shown, stated, "{alert:#}");
            assert_eq!(alert["received_time"].is_string(), stated.is_some());
        }
    }
    weir.assert_well();
    weir.stop();
}

/// W3: a second time in JSON hides no attack either, and is a problem of the event.
#[test]
fn w3_a_second_time_in_json_hides_no_attack() {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    weir.await_ready();
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let line = |port| {
        format!(
            "{{\"timestamp\":\"{now}\",\"time\":\"2020-01-01T00:00:00Z\",\"host\":\"h\",\
             \"program\":\"sshd\",\"message\":\"Failed password for root from 198.51.100.9 port \
             {port} ssh2\"}}\n"
        )
    };
    let lines: String = (2_000..2_012).map(line).collect();
    weir.send_tcp(lines.as_bytes());
    let found = until("the alert", || {
        let found = alerts(&weir);
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(found[0]["group"]["src_ip"], "198.51.100.9", "{found:#?}");
    assert!(found[0]["time_mark"].is_null(), "{found:#?}");
    weir.await_metric("weir_parse_failures_total", "times_differ", 12);
    weir.stop();
}
