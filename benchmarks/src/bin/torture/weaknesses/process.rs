//! W20 and W23: signals that end the server, and listeners that nobody warns of.

use std::time::Duration;

use anyhow::Result;

use crate::case::{Case, Facts, Setting};
use crate::server::{Setup, TorturedServer};

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "W20/signals",
            "do SIGHUP, SIGUSR1, SIGXFSZ and others end the server?",
            signals,
        ),
        Case::new(
            "W23/plain",
            "is a plain listener on all addresses reported?",
            plain,
        ),
    ]
}

fn signals(setting: &Setting) -> Result<Facts> {
    let mut facts = Facts::default();
    for signal in ["HUP", "USR1", "USR2", "ALRM", "PROF", "IO", "PWR", "XFSZ"] {
        let mut server = TorturedServer::start(setting, &Setup::default())?;
        server.signal(signal)?;
        std::thread::sleep(Duration::from_secs(1));
        let runs = server.is_running();
        facts.judge("survives", format!("{signal}: {runs}"), runs);
        server.remove();
    }
    Ok(facts)
}

fn plain(setting: &Setting) -> Result<Facts> {
    let server = TorturedServer::start(setting, &Setup::default())?;
    let file = setting.folder.join("plain.toml");
    std::fs::write(
        &file,
        "[listen]\nhttp = \"0.0.0.0:18514\"\nagent = \"0.0.0.0:17514\"\n",
    )?;
    let file = file.display().to_string();
    let output = server.verb(&["check", "--config", &file]).output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let mut facts = Facts::default();
    for listener in ["http", "agent"] {
        let lines = text.lines().filter(|line| line.contains(listener));
        let warned = lines.filter(|line| line.contains("TLS")).count();
        facts.judge(
            "lines of `check`",
            format!("{listener}: {warned}"),
            warned >= 1,
        );
    }
    server.remove();
    Ok(facts)
}
