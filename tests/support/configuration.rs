//! Configurations for test servers: every listener on a free port of loopback.

use super::until;

/// A configuration with syslog, agent and HTTP listeners, followed by `more`.
pub fn config(more: &str) -> String {
    config_with_agent(0, more)
}

/// [`config`] with the agent listener on `port`, which a restart keeps.
pub fn config_with_agent(port: u16, more: &str) -> String {
    format!(
        "{more}\n[listen]\nsyslog_udp = \"127.0.0.1:0\"\nsyslog_tcp = \"127.0.0.1:0\"\n\
         agent = \"127.0.0.1:{port}\"\nhttp = \"127.0.0.1:0\"\n"
    )
}

/// [`config`] with a RELP listener and, unless `tls` is empty, a TLS listener with that `[tls]` table.
pub fn config_with_streams(relp: u16, tls: &str, more: &str) -> String {
    let tls_listener = match tls {
        "" => "",
        _ => "syslog_tls = \"127.0.0.1:0\"\n",
    };
    let listen = format!("{tls_listener}relp = \"127.0.0.1:{relp}\"\n");
    format!("{}{listen}[tls]\n{tls}", config(more))
}

/// A free port outside of the kernel's ephemeral range, so that it is still free after a restart.
pub fn lasting_port() -> u16 {
    use std::hash::{BuildHasher, Hasher};
    until("a free port", || {
        let random = std::hash::RandomState::new().build_hasher().finish();
        let port = 10_240 + u16::try_from(random % 20_000).ok()?;
        let free = std::net::TcpListener::bind(("127.0.0.1", port));
        free.ok().map(|_| port)
    })
}
