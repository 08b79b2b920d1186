//! Whether this machine can run a configuration: its addresses, its data folder, its certificates.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use weir_store::journal::{Journal, JournalError};

use crate::adapters::whole;
use crate::config::Config;
use crate::doors;

/// All that would end a start here. Nothing is left behind.
pub fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let dir = config.data_dir.clone();
    let dir = dir.unwrap_or_else(|| PathBuf::from("weir-data"));
    let mut runs = false;
    match folder(&dir) {
        Ok(in_use) => runs = in_use,
        Err(problem) => problems.push(format!("data_dir: {problem}")),
    }
    if let Err(bad) = doors::tls(config) {
        problems.extend(bad.problems.iter().map(|problem| format!("tls: {problem}")));
    }
    if runs {
        println!(
            "a server runs on {}: it holds the addresses, which were not tried",
            dir.display()
        );
    } else {
        problems.extend(addresses(config));
    }
    problems
}

/// Whether a server runs on the folder; what keeps one from running on it.
fn folder(dir: &Path) -> Result<bool, String> {
    // A folder that is not there is made in the next one above that is.
    let there = dir.ancestors().find(|above| above.exists());
    let there = match there {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => Path::new("."),
    };
    let made = tempfile::NamedTempFile::new_in(there);
    made.map_err(|error| format!("{} cannot be written: {error}", there.display()))?;
    let journal = dir.join("journal");
    if !journal.is_dir() {
        return Ok(false);
    }
    match Journal::lock(&journal) {
        Ok(_unlocked_again) => Ok(false),
        Err(JournalError::InUse { .. }) => Ok(true),
        Err(error) => Err(whole(&error)),
    }
}

/// Tries each address; it is let go at once.
fn addresses(config: &Config) -> Vec<String> {
    let listen = &config.listen;
    let udp = |at: SocketAddr| UdpSocket::bind(at).map(drop);
    let tcp = |at: SocketAddr| TcpListener::bind(at).map(drop);
    type Try<'t> = &'t dyn Fn(SocketAddr) -> std::io::Result<()>;
    let doors: [(&str, Option<SocketAddr>, Try<'_>); 6] = [
        ("syslog_udp", listen.syslog_udp.0, &udp),
        ("syslog_tcp", listen.syslog_tcp.0, &tcp),
        ("syslog_tls", config.syslog_tls(), &tcp),
        ("relp", listen.relp.0, &tcp),
        ("agent", listen.agent.0, &tcp),
        ("http", listen.http.0, &tcp),
    ];
    let tried = doors.into_iter().filter_map(|(key, at, bind)| {
        let at = at?;
        let error = bind(at).err()?;
        Some(format!("listen.{key}: cannot listen on {at}: {error}"))
    });
    tried.collect()
}
