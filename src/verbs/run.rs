//! `weir run`: the server, from its start to the signal that stops it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use weir_manage::RuleFileDocument;

use crate::builtin;
use crate::config::Config;
use crate::exit::ExitError;
use crate::server::notify::Notifier;
use crate::server::printer::LinePrinter;
use crate::server::signals::{stop_requested, survive_others};
use crate::server::topology;
use crate::verbs::overrides::ServerOverrides;

/// Runs the server until a signal stops it.
pub fn run(file: Option<&Path>, overrides: &ServerOverrides) -> Result<ExitCode> {
    let config = overrides.load(file)?;
    // In a cluster, the leading process has the rules.
    let rules = if config.cluster.follows() {
        Vec::new()
    } else {
        configured_rules(&config)?
    };
    actix_rt::System::new().block_on(async move {
        survive_others()?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
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
        let lost = tokio::select! {
            stopped = stop_requested() => { stopped?; None }
            lost = server.health.end() => Some(lost),
        };
        tracing::info!("stopping");
        notifier.stopping();
        match lost {
            Some(lost) => Err(stop_after_loss(server, lost).await.into()),
            None => server.stop().await.map(|()| ExitCode::SUCCESS),
        }
    })
}

/// Longest stop of a server that has lost a part: what is left may wait for that part.
const STOP_AFTER_LOSS_MAX: Duration = Duration::from_secs(5);

/// Stops a server that has lost a part, so that the service manager starts it again.
async fn stop_after_loss(server: topology::Server, lost: String) -> ExitError {
    tracing::error!(
        reason = lost,
        "the server ends, because a part of it has ended"
    );
    let stopped = tokio::time::timeout(STOP_AFTER_LOSS_MAX, server.stop()).await;
    let lost = ExitError::Lost(lost);
    match stopped {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("a part did not stop cleanly: {error:#}"),
        Err(_) => {
            tracing::error!("the server does not stop; the process ends");
            // The runtime would wait for threads that do not end.
            std::process::exit(lost.code().into());
        }
    }
    lost
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
