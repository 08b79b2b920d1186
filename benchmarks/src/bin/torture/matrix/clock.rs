//! Faults of the wall clock, made with `libfaketime`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::FaultPattern;
use crate::alerts::FollowedAlerts;
use crate::case::{Case, Facts, Setting};
use crate::server::{Setup, TorturedServer};

/// The library, as Debian installs it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

pub fn cases() -> Vec<Case> {
    let case = |pattern: FaultPattern| {
        let name = format!("clock/{}", pattern.name());
        let question = "does a clock that was wrong blind the server?";
        Case::new(name, question, move |setting| run(pattern, setting))
    };
    FaultPattern::ALL.into_iter().map(case).collect()
}

/// A server whose wall clock a case shifts.
pub struct ShiftedServer {
    pub server: TorturedServer,
    file: std::path::PathBuf,
}

impl ShiftedServer {
    /// Starts a server with a right clock; `None` if the library is missing.
    pub fn start(setting: &Setting) -> Result<Option<Self>> {
        if !Path::new(LIBRARY).exists() {
            return Ok(None);
        }
        // Cases run at once, each with a clock of its own.
        let thread = format!("{:?}", std::thread::current().id());
        let digits: String = thread.chars().filter(char::is_ascii_digit).collect();
        let file = setting
            .folder
            .join(format!("clock-{}-{digits}", std::process::id()));
        std::fs::write(&file, "+0\n")?;
        let environment = vec![
            ("LD_PRELOAD", LIBRARY.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        let setup = Setup {
            environment,
            ..Setup::default()
        };
        Ok(Some(Self {
            server: TorturedServer::start(setting, &setup)?,
            file,
        }))
    }

    /// Shifts the clock, such as `+2d`.
    pub fn shift(&self, by: &str) -> Result<()> {
        Ok(std::fs::write(&self.file, format!("{by}\n"))?)
    }
}

fn run(pattern: FaultPattern, setting: &Setting) -> Result<Facts> {
    let Some(mut shifted) = ShiftedServer::start(setting)? else {
        return Ok(Facts::skip("libfaketime is not installed"));
    };
    let (alerts, mut facts) = (shifted.server.alerts()?, Facts::default());
    let by = if pattern == FaultPattern::Stalls {
        "-2h"
    } else {
        "+2d"
    };
    shifted.shift(by)?;
    std::thread::sleep(Duration::from_secs(3));
    shifted
        .server
        .send("a line of a printer without any time\n")?;
    std::thread::sleep(match pattern {
        FaultPattern::Once => Duration::from_secs(2),
        FaultPattern::Minute | FaultPattern::Forever | FaultPattern::Stalls => {
            setting.minute().min(Duration::from_secs(20))
        }
    });
    if pattern != FaultPattern::Forever {
        shifted.shift("+0")?;
        std::thread::sleep(Duration::from_secs(3));
    }
    let told = shifted.server.attack(
        &alerts,
        Ipv4Addr::new(198, 51, 100, 9),
        Duration::from_secs(15),
    );
    let shown = told.map_or("none".to_owned(), |told| {
        format!("{:.1} s", told.as_secs_f64())
    });
    // Under a clock that stays two days ahead, true times are beyond the horizon, and told so.
    facts.judge(
        "alert afterwards",
        shown,
        told.is_some() || pattern == FaultPattern::Forever,
    );
    judge_telling(&mut shifted.server, &alerts, &mut facts)?;
    shifted.server.remove();
    Ok(facts)
}

/// Judges what the server tells of the jump, and its end.
fn judge_telling(
    server: &mut TorturedServer,
    alerts: &FollowedAlerts,
    facts: &mut Facts,
) -> Result<()> {
    std::thread::sleep(Duration::from_secs(2));
    let own = alerts.own();
    let jumped = own.iter().any(|rule| rule == "weir.self.clock-jumped");
    facts.judge("self-alerts", own.join(" "), jumped);
    for route in ["/healthz", "/readyz"] {
        let status = server.probe(route)?.status;
        facts.judge(
            if route == "/healthz" {
                "healthz"
            } else {
                "readyz"
            },
            status,
            status == 200,
        );
    }
    server.stop_judged(facts)?;
    Ok(())
}
