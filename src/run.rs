//! `weir`: the server, from start to the signal that ends it.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Failure, ServerArgs};
use crate::config::{BadConfig, Config};
use crate::notify::Notifier;
use crate::observe::Printer;
use crate::rule_desk::Document;
use crate::rules::files;
use crate::{builtin, cluster, topology};

/// Runs the server until it is told to stop.
pub fn run(args: &ServerArgs) -> Result<ExitCode> {
    let config = load(args)?;
    // Rules are those of the process that leads.
    let rules = if config.cluster.follows() {
        Vec::new()
    } else {
        wanted_rules(&config)?
    };
    actix_rt::System::new().block_on(async move {
        let server = topology::start(&config, rules, Some(Printer::start()?)).await?;
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
            cluster::failed(&server.status).await;
        };
        let lost = tokio::select! {
            asked = stop_asked() => { asked?; None }
            () = failed => server.status.lost().map(str::to_owned),
        };
        tracing::info!("stopping");
        notifier.stopping();
        server.stop().await?;
        match lost {
            Some(lost) => Err(Failure::Lost(lost).into()),
            None => Ok(ExitCode::SUCCESS),
        }
    })
}

/// The configuration, with what the command line says laid over it.
pub fn load(args: &ServerArgs) -> Result<Config> {
    let mut config = Config::load(args.config.as_deref())?;
    config.data_dir = args.data_dir.clone().or(config.data_dir);
    let doors = [
        (args.syslog_udp, &mut config.listen.syslog_udp),
        (args.syslog_tcp, &mut config.listen.syslog_tcp),
        (args.agent, &mut config.listen.agent),
        (args.http, &mut config.listen.http),
    ];
    for (told, door) in doors {
        *door = told.unwrap_or(*door);
    }
    config.graph.workers = args.workers.unwrap_or(config.graph.workers);
    if let Some(process) = args.process {
        config.cluster.process = process;
        let problems = config.cluster.problems();
        if !problems.is_empty() {
            let file = args.config.clone().unwrap_or_else(|| "--process".into());
            return Err(BadConfig { file, problems }.into());
        }
    }
    Ok(config)
}

/// The rules that the configuration asks for, those of files before the built-in ones: of two with one
/// id the first stands. A folder that cannot be read ends the start: a server that runs without the
/// rules it was told to run would be a silent one.
pub fn wanted_rules(config: &Config) -> Result<Vec<Document>> {
    let found = files::read_all(&config.rules.paths);
    if let Some(trouble) = found.troubles.first() {
        return Err(anyhow::Error::msg(trouble.to_string()));
    }
    let mut rules = found.documents;
    if config.rules.builtin {
        rules.extend(builtin::rules());
    }
    Ok(rules)
}

/// Waits for SIGINT or SIGTERM.
pub async fn stop_asked() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
