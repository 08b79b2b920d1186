//! `weir run`: the server, from its start to the signal that stops it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use weir_manage::RuleFileDocument;

use crate::builtin;
use crate::config::{BadConfig, Config, ListenAddress};
use crate::exit::ExitError;
use crate::server::notify::Notifier;
use crate::server::printer::LinePrinter;
use crate::server::signals::stop_requested;
use crate::server::{cluster, topology};

/// Flags of the server, which override the configuration file.
#[derive(Clone, Debug, clap::Args)]
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

/// Runs the server until a signal stops it.
pub fn run(file: Option<&Path>, overrides: &ServerOverrides) -> Result<ExitCode> {
    let config = load(file, overrides)?;
    // In a cluster, the leading process has the rules.
    let rules = if config.cluster.follows() {
        Vec::new()
    } else {
        configured_rules(&config)?
    };
    actix_rt::System::new().block_on(async move {
        let server = topology::start(&config, rules, Some(LinePrinter::start()?)).await?;
        let at = &server.addresses;
        tracing::info!(
            udp = ?at.udp, tcp = ?at.tcp, tls = ?at.tls, relp = ?at.relp, agent = ?at.agent, http = ?at.http,
            token = "in the file `token` of the data folder",
            "listening"
        );
        let notifier = Notifier::from_environment();
        notifier.ready();
        notifier.watch(server.status.clone());
        let failed = async {
            if !config.cluster.is_on() {
                std::future::pending::<()>().await;
            }
            cluster::graph_failed(&server.status).await;
        };
        let lost = tokio::select! {
            stopped = stop_requested() => { stopped?; None }
            () = failed => server.status.loss().map(str::to_owned),
        };
        tracing::info!("stopping");
        notifier.stopping();
        server.stop().await?;
        match lost {
            Some(lost) => Err(ExitError::Lost(lost).into()),
            None => Ok(ExitCode::SUCCESS),
        }
    })
}

/// Reads the configuration, and lets the flags override it.
fn load(file: Option<&Path>, overrides: &ServerOverrides) -> Result<Config> {
    let mut config = Config::load(file)?;
    config.data_dir = overrides.data_dir.clone().or(config.data_dir);
    let addresses = [
        (overrides.syslog_udp, &mut config.listen.syslog_udp),
        (overrides.syslog_tcp, &mut config.listen.syslog_tcp),
        (overrides.agent, &mut config.listen.agent),
        (overrides.http, &mut config.listen.http),
    ];
    for (flag, address) in addresses {
        *address = flag.unwrap_or(*address);
    }
    config.graph.workers = overrides.workers.unwrap_or(config.graph.workers);
    if let Some(process) = overrides.process {
        config.cluster.process = process;
        let problems = config.cluster.problems();
        if !problems.is_empty() {
            let file = file.unwrap_or(Path::new("--process")).to_owned();
            return Err(BadConfig { file, problems }.into());
        }
    }
    Ok(config)
}

/// The configured rules, those of files before the built-in ones: of two with one id, the first is
/// used.
///
/// A folder that cannot be read ends the start: a server without its rules would raise no alert.
fn configured_rules(config: &Config) -> Result<Vec<RuleFileDocument>> {
    let found = weir_manage::read_all(&config.rules.paths);
    if let Some(error) = found.errors.first() {
        return Err(anyhow::Error::msg(error.to_string()));
    }
    let mut rules = found.documents;
    if config.rules.builtin {
        rules.extend(builtin::rules());
    }
    Ok(rules)
}
