//! W4 and W10: sinks that lock up, and alerts that consumers refuse.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;

use super::seconds;
use crate::case::{Case, Facts, Setting};
use crate::consumer::{AlertReceiver, Treatment};
use crate::lines;
use crate::server::{STOP_MAX, Setup, TorturedServer};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "W4/bursts",
            "does a burst of 100 alerts lock up the sinks?",
            bursts,
        ),
        Case::new(
            "W10/refused",
            "do 300 refused alerts delay the next one?",
            refused,
        ),
        Case::new(
            "W10/long-value",
            "does a value of 30 kB make a body that is refused?",
            long,
        ),
    ]
}

fn webhook(consumer: &AlertReceiver, more: &str) -> Setup {
    let url = consumer.address;
    Setup {
        config: format!(
            "[[sink]]\nname = \"tested\"\ntype = \"webhook\"\nurl = \"http://{url}/\"\n\
             allow_private = true\n{more}\n"
        ),
        ..Setup::default()
    }
}

/// Attacks of `hosts` addresses in one text.
fn burst(network: &str, hosts: usize) -> String {
    let time = lines::time(TimeDelta::zero());
    let attack = |host| lines::guessing(&format!("{network}.{}.{}", host / 250, host % 250), &time);
    (0..hosts).map(attack).collect()
}

fn bursts(setting: &Setting) -> Result<Facts> {
    let rounds = setting.rounds(10);
    let (mut stuck, mut slow, mut facts) = (0, 0, Facts::default());
    for round in 0..rounds {
        // A consumer at full speed, and a slow one, in turn.
        let consumer = AlertReceiver::start(move |_| match round % 2 {
            0 => Treatment::Answer(200),
            _ => Treatment::Slow(Duration::from_millis(30)),
        })?;
        let mut server = TorturedServer::start(setting, &webhook(&consumer, ""))?;
        server.post(&burst("10.7", 100), Duration::from_secs(10))?;
        let (began, limit) = (Instant::now(), Duration::from_secs(20));
        let told = || {
            let accepted = consumer.accepted();
            accepted
                .iter()
                .filter(|accepted| accepted.body.contains(lines::GUESSING))
                .count()
        };
        while told() < 100 && began.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(100));
        }
        stuck += usize::from(told() < 100);
        let ended = server.stop()?;
        slow += usize::from(ended.killed || ended.took > STOP_MAX);
        server.remove();
    }
    facts.judge("stuck", format!("{stuck} of {rounds}"), stuck == 0);
    facts.judge("stops over 20 s", format!("{slow} of {rounds}"), slow == 0);
    Ok(facts)
}

fn refused(setting: &Setting) -> Result<Facts> {
    let consumer = AlertReceiver::start(|body| match body.contains("10.66.") {
        true => Treatment::Answer(400),
        false => Treatment::Answer(200),
    })?;
    let server = TorturedServer::start(setting, &webhook(&consumer, ""))?;
    server.post(&burst("10.66", 300), Duration::from_secs(10))?;
    std::thread::sleep(Duration::from_secs(3));
    let began = Instant::now();
    let attack = lines::guessing("198.51.100.6", &lines::time(TimeDelta::zero()));
    server.post(&attack, Duration::from_secs(10))?;
    let at = consumer.wait_for("198.51.100.6", Duration::from_secs(160));
    let took = at.map(|at| at.saturating_duration_since(began));
    let mut facts = Facts::default();
    let holds = took.is_some_and(|took| took < Duration::from_secs(10));
    facts.judge("next alert delivered after", seconds(took), holds);
    server.remove();
    Ok(facts)
}

/// A consumer with a limit of 40 KiB, and an account name of 30 kB of characters that JSON escapes.
fn long(setting: &Setting) -> Result<Facts> {
    let consumer = AlertReceiver::start(|body| match body.len() > 40 << 10 {
        true => Treatment::Answer(413),
        false => Treatment::Answer(200),
    })?;
    let mut setup = webhook(&consumer, "body_max_kib = 32");
    let mut facts = Facts::default();
    let server = match TorturedServer::start(setting, &setup) {
        Ok(server) => server,
        // An older version has no such key.
        Err(_) => {
            setup = webhook(&consumer, "");
            facts.note("limit", "none");
            TorturedServer::start(setting, &setup)?
        }
    };
    let time = lines::time(TimeDelta::zero());
    let user = "\\\"".repeat(15_000);
    let attack: String = (1..=15)
        .map(|port| {
            format!(
                "<38>1 {time} gate sshd 1 - - Failed password for {user} from 198.51.100.{port} \
                 port {port} ssh2\n"
            )
        })
        .collect();
    server.post(&attack, Duration::from_secs(10))?;
    // The rule about one account groups by its name.
    let rule = "4a042920-0b65-5636-a9dc-2cad2c925e94";
    let alerts = server.alerts()?;
    let raised = alerts.wait_for(rule, "", Duration::from_secs(10)).is_some();
    facts.judge("raised", raised, raised);
    let arrived = consumer.wait_for(rule, Duration::from_secs(15)).is_some();
    facts.judge("delivered", arrived, arrived);
    let body = consumer
        .accepted()
        .into_iter()
        .find(|accepted| accepted.body.contains(rule));
    if let Some(body) = body {
        facts.note("bytes", body.body.len());
        facts.judge(
            "says what is cut",
            body.body.contains("\"cut\""),
            body.body.contains("\"cut\""),
        );
    }
    server.remove();
    Ok(facts)
}
