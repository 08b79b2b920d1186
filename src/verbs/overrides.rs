//! The flags of the server before a verb, and the server that a verb finds by the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::{BadConfig, Config, ListenAddress, ListenConfig};

/// Flags of the server, which override the configuration file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServerOverrides {
    /// Folder of journal, ledger and token [default: weir-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address for syslog over UDP, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub syslog_udp: Option<ListenAddress>,
    /// Address for syslog over TCP, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub syslog_tcp: Option<ListenAddress>,
    /// Address for agents, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub agent: Option<ListenAddress>,
    /// Address for API, streams and metrics, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<ListenAddress>,
    /// Number of timely workers.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Number of this process among those of `cluster.addresses`.
    #[arg(long, value_name = "N")]
    pub process: Option<usize>,
}

impl ServerOverrides {
    /// The names of the flags that were given.
    pub fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--data-dir", self.data_dir.is_some()),
            ("--syslog-udp", self.syslog_udp.is_some()),
            ("--syslog-tcp", self.syslog_tcp.is_some()),
            ("--agent", self.agent.is_some()),
            ("--http", self.http.is_some()),
            ("--workers", self.workers.is_some()),
            ("--process", self.process.is_some()),
        ];
        let given = all.into_iter().filter(|(_, given)| *given);
        given.map(|(name, _)| name).collect()
    }

    /// Reads the configuration of file and environment, and lets the flags override it.
    pub fn load(&self, file: Option<&Path>) -> Result<Config, BadConfig> {
        let mut config = Config::load(file)?;
        self.apply(&mut config);
        let problems = match self.process {
            Some(_) => config.cluster.problems(),
            None => Vec::new(),
        };
        if problems.is_empty() {
            return Ok(config);
        }
        let file = PathBuf::from("--process");
        Err(BadConfig { file, problems })
    }

    /// Replaces the values of the configuration for which a flag was given.
    pub fn apply(&self, config: &mut Config) {
        config.data_dir = self.data_dir.clone().or(config.data_dir.take());
        let addresses = [
            (self.syslog_udp, &mut config.listen.syslog_udp),
            (self.syslog_tcp, &mut config.listen.syslog_tcp),
            (self.agent, &mut config.listen.agent),
            (self.http, &mut config.listen.http),
        ];
        for (flag, address) in addresses {
            *address = flag.unwrap_or(*address);
        }
        config.graph.workers = self.workers.unwrap_or(config.graph.workers);
        config.cluster.process = self.process.unwrap_or(config.cluster.process);
    }
}

/// The server of a configuration, which verbs use unless their own flags name another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerDefaults {
    pub data_dir: PathBuf,
    /// URL of the API.
    pub url: String,
    /// Address of the agent port.
    pub agent: String,
}

impl ServerDefaults {
    /// The server of `config`. A listener that is off has its default address.
    pub fn of(config: &Config) -> Self {
        let default = ListenConfig::default();
        let scheme = if config.tls.http { "https" } else { "http" };
        let reached = |listen: ListenAddress, default: ListenAddress| {
            let address = listen.0.or(default.0).map(reachable);
            address.map_or_else(String::new, |address| address.to_string())
        };
        let data_dir = config.data_dir.clone();
        Self {
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from("weir-data")),
            url: format!("{scheme}://{}", reached(config.listen.http, default.http)),
            agent: reached(config.listen.agent, default.agent),
        }
    }
}

/// The address by which this machine reaches a listener: of all addresses, that of loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_find_the_server_of_the_configuration() {
        for (text, data_dir, url, agent) in [
            ("", "weir-data", "http://127.0.0.1:8514", "127.0.0.1:7514"),
            (
                "data_dir = \"d\"\n[listen]\nhttp = \"0.0.0.0:1\"\nagent = \"10.0.0.1:2\"\n",
                "d",
                "http://127.0.0.1:1",
                "10.0.0.1:2",
            ),
            (
                "[listen]\nhttp = \"[::]:1\"\nagent = \"off\"\n[tls]\nhttp = true\n",
                "weir-data",
                "https://[::1]:1",
                "127.0.0.1:7514",
            ),
            (
                "[listen]\nhttp = \"off\"\n",
                "weir-data",
                "http://127.0.0.1:8514",
                "127.0.0.1:7514",
            ),
        ] {
            let config: Config = toml::from_str(text).expect("a configuration");
            let expected = ServerDefaults {
                data_dir: data_dir.into(),
                url: url.to_owned(),
                agent: agent.to_owned(),
            };
            assert_eq!(ServerDefaults::of(&config), expected, "{text}");
        }
    }
}
