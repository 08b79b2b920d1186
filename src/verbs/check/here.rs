//! Checks whether this machine can run a configuration: addresses, data folder, certificates.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use weir_store::journal::{Journal, JournalError};

use crate::config::Config;
use crate::console::outln;
use crate::server::{descriptors, listeners};
use crate::text::with_causes;

/// All problems that would end a start on this machine. Leaves nothing behind.
pub fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let dir = config.data_dir.clone();
    let dir = dir.unwrap_or_else(|| PathBuf::from("weir-data"));
    let mut server_runs = false;
    match folder(&dir) {
        Ok(in_use) => server_runs = in_use,
        Err(problem) => problems.push(format!("data_dir: {problem}")),
    }
    match descriptors::fit_to_limit(config) {
        Ok(fitted) => fitted
            .warning
            .into_iter()
            .for_each(|warning| outln!("{warning}")),
        Err(problem) => problems.push(problem),
    }
    if let Err(bad) = listeners::load_tls(config) {
        problems.extend(bad.problems.iter().map(|problem| format!("tls: {problem}")));
    }
    if server_runs {
        outln!(
            "a server runs on {}: it holds the addresses, which were not tried",
            dir.display()
        );
    } else {
        problems.extend(addresses(config));
    }
    problems
}

/// Whether a server runs on the folder; fails if none could.
fn folder(dir: &Path) -> Result<bool, String> {
    // A missing folder would be created in the nearest one that exists.
    let existing = dir.ancestors().find(|above| above.exists());
    let existing = match existing {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => Path::new("."),
    };
    let created = tempfile::NamedTempFile::new_in(existing);
    created.map_err(|error| format!("{} cannot be written: {error}", existing.display()))?;
    let journal = dir.join("journal");
    if !journal.is_dir() {
        return Ok(false);
    }
    match Journal::lock(&journal) {
        Ok(_unlocked_again) => Ok(false),
        Err(JournalError::InUse { .. }) => Ok(true),
        Err(error) => Err(with_causes(&error)),
    }
}

/// Binds each address, and releases it at once.
fn addresses(config: &Config) -> Vec<String> {
    let listen = &config.listen;
    let udp = |at: SocketAddr| UdpSocket::bind(at).map(drop);
    let tcp = |at: SocketAddr| TcpListener::bind(at).map(drop);
    type Bind<'b> = &'b dyn Fn(SocketAddr) -> std::io::Result<()>;
    let listeners: [(&str, Option<SocketAddr>, Bind<'_>); 7] = [
        ("syslog_udp", listen.syslog_udp.0, &udp),
        ("syslog_tcp", listen.syslog_tcp.0, &tcp),
        ("syslog_tls", config.syslog_tls(), &tcp),
        ("relp", listen.relp.0, &tcp),
        ("agent", listen.agent.0, &tcp),
        ("http", listen.http.0, &tcp),
        ("health", listen.health.0, &tcp),
    ];
    let failed = listeners.into_iter().filter_map(|(key, at, bind)| {
        let at = at?;
        let error = bind(at).err()?;
        Some(format!("listen.{key}: cannot listen on {at}: {error}"))
    });
    failed.collect()
}
