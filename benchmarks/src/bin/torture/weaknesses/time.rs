//! W2 and W3: clocks of the server and of senders that are wrong.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;

use super::seconds;
use crate::case::{Case, Facts, Setting};
use crate::lines;
use crate::matrix::ShiftedServer;
use crate::server::{Setup, TorturedServer};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "W2/clock",
            "does a clock that was wrong for 3 s blind the server?",
            clock,
        ),
        Case::new("W3/times", "does a sender's clock hide an attack?", times),
    ]
}

fn clock(setting: &Setting) -> Result<Facts> {
    let Some(shifted) = ShiftedServer::start(setting)? else {
        return Ok(Facts::skip("libfaketime is not installed"));
    };
    let (alerts, mut facts) = (shifted.server.alerts()?, Facts::default());
    shifted.shift("+2d")?;
    std::thread::sleep(Duration::from_secs(1));
    shifted
        .server
        .send("a line of a printer without any time\n")?;
    std::thread::sleep(Duration::from_secs(2));
    shifted.shift("+0")?;
    std::thread::sleep(Duration::from_secs(2));
    let address = Ipv4Addr::new(198, 51, 100, 6);
    let told = shifted
        .server
        .attack(&alerts, address, Duration::from_secs(20));
    facts.judge(
        "attack afterwards told after",
        seconds(told),
        told.is_some(),
    );
    let own = alerts.own().join(" ");
    facts.judge("self-alerts", &own, own.contains("clock"));
    shifted.server.remove();
    Ok(facts)
}

/// Shifts of a sender's clock, as in the report of the weakness.
fn shifts() -> [(&'static str, TimeDelta); 9] {
    [
        ("now", TimeDelta::zero()),
        ("+4 m", TimeDelta::minutes(4)),
        ("+6 m", TimeDelta::minutes(6)),
        ("+1 h", TimeDelta::hours(1)),
        ("+10 y", TimeDelta::days(3_650)),
        ("-23 h", TimeDelta::hours(-23)),
        ("-25 h", TimeDelta::hours(-25)),
        ("-3 d", TimeDelta::days(-3)),
        ("1970", TimeDelta::days(-20_000)),
    ]
}

/// A rule about one event must be told for each time; ten refused passwords for each but old ones.
fn times(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let (alerts, mut facts) = (server.alerts()?, Facts::default());
    // A line with a right time first: the watermark is where a running server has it.
    server.post(&lines::counted(0, 10), Duration::from_secs(5))?;
    std::thread::sleep(Duration::from_secs(1));
    for (place, (_, shift)) in shifts().into_iter().enumerate() {
        let time = lines::time(shift);
        let text = lines::service_shell(&format!("host-{place}"), &time)
            + &lines::guessing(&format!("198.51.100.{place}"), &time);
        server.post(&text, Duration::from_secs(5))?;
    }
    std::thread::sleep(Duration::from_secs(5));
    let (mut single, mut counted) = (Vec::new(), Vec::new());
    for (place, (name, _)) in shifts().into_iter().enumerate() {
        let limit = Duration::from_millis(100);
        let host = format!("\"host-{place}\"");
        if alerts
            .wait_for(lines::SERVICE_SHELL, &host, limit)
            .is_none()
        {
            single.push(name);
        }
        let address = format!("\"198.51.100.{place}\"");
        if alerts.wait_for(lines::GUESSING, &address, limit).is_none() {
            counted.push(name);
        }
    }
    facts.judge("one event not told", single.join(" "), single.is_empty());
    // A backlog that is really old is not an attack of today.
    let old = ["-25 h", "-3 d"];
    let holds = counted.iter().all(|name| old.contains(name));
    facts.judge("ten events not told", counted.join(" "), holds);
    let marked = alerts.changes().into_iter();
    let marks = ["time_not_credible", "late_beyond_horizon"];
    let marked = marked.filter(|change| marks.iter().any(|mark| change.row.contains(mark)));
    facts.note("alerts with a mark", marked.count());
    facts.note("self-alerts", alerts.own().join(" "));
    server.remove();
    Ok(facts)
}
