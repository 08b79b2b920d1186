//! `weir run`: the server, from its start to the signal that stops it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::spawn_blocking;
use anyhow::Result;
use weir_ingest::{ReceiveClock, SystemClock};
use weir_manage::RuleFileDocument;

use crate::builtin;
use crate::config::Config;
use crate::exit::{ExitError, LOST};
use crate::server::notify::Notifier;
use crate::server::printer::LinePrinter;
use crate::server::run_marks::RunMarks;
use crate::server::signals::{StopSignals, survive_others};
use crate::server::stop_guard::{EXIT_AFTER, StopGuard, StopStage};
use crate::server::stopping::RestOfWork;
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
        let mut stop = StopSignals::listen()?;
        let at = &server.addresses;
        tracing::info!(
            udp = ?at.udp, tcp = ?at.tcp, tls = ?at.tls, relp = ?at.relp, agent = ?at.agent, http = ?at.http,
            token = "in the file `token` of the data folder",
            "listening"
        );
        let notifier = Notifier::from_environment();
        notifier.ready();
        notifier.watch(server.health.clone());
        let lost = tokio::select! {
            () = stop.next() => None,
            lost = server.health.end() => Some(lost),
        };
        notifier.stopping();
        let ending = Ending::of(&server);
        match lost {
            Some(lost) => Err(ending.after_loss(server, lost).await.into()),
            None => ending.after_signal(server, stop).await,
        }
    })
}

/// Longest stop of a server that has lost a part: what is left may wait for that part.
const STOP_AFTER_LOSS_MAX: Duration = Duration::from_secs(5);

/// The parts that the end of the process needs after the server is gone.
#[derive(Clone)]
struct Ending {
    marks: Arc<RunMarks>,
    stage: StopStage,
    rest: RestOfWork,
}

impl Ending {
    fn of(server: &topology::Server) -> Self {
        Self {
            marks: Arc::clone(&server.marks),
            stage: server.stage.clone(),
            rest: server.rest(),
        }
    }

    /// Stops the server. A second signal, or the limit of a stop, ends the process at once.
    async fn after_signal(
        self,
        server: topology::Server,
        mut signals: StopSignals,
    ) -> Result<ExitCode> {
        tracing::info!("stopping; a second signal ends the process at once");
        let last_words = |why: &'static str| {
            let ending = self.clone();
            move || ending.leave(why)
        };
        let guard = StopGuard::arm(EXIT_AFTER, LOST, last_words("the stop takes too long"));
        let again = last_words("a second signal came");
        actix_rt::spawn(async move {
            signals.next().await;
            let _guard = StopGuard::arm(Duration::ZERO, LOST, again);
            std::future::pending::<()>().await;
        });
        let stopped = server.stop().await;
        let lost = stopped
            .as_ref()
            .err()
            .and_then(|error| error.downcast_ref());
        if let Some(ExitError::Lost(why)) = lost {
            self.leave(why);
            // The runtime would wait for threads that do not end.
            std::process::exit(LOST.into());
        }
        drop(guard);
        stopped.map(|()| ExitCode::SUCCESS)
    }

    /// Stops a server that has lost a part, so that the service manager starts it again.
    async fn after_loss(self, server: topology::Server, lost: String) -> ExitError {
        tracing::error!(
            reason = lost,
            "the server ends, because a part of it has ended or stalled"
        );
        let (ending, why) = (self.clone(), lost.clone());
        // First of all, since the stop may hang. The disk may hang, too, so this has a limit.
        let guard = StopGuard::arm(STOP_AFTER_LOSS_MAX, LOST, {
            let ending = self.clone();
            move || ending.leave("the stop takes too long")
        });
        let marked = spawn_blocking(move || ending.marks.record_failure(&why, SystemClock.now()));
        let _ = marked.await;
        let stopped = server.stop().await;
        match &stopped {
            Ok(()) => {}
            Err(error) => tracing::warn!("a part did not stop cleanly: {error:#}"),
        }
        if stopped.is_err() {
            std::process::exit(LOST.into());
        }
        drop(guard);
        ExitError::Lost(lost)
    }

    /// Logs and marks an end that leaves parts behind.
    fn leave(&self, why: &str) {
        let (part, rest) = (self.stage.part(), self.rest.words());
        tracing::error!(
            part,
            rest,
            "the process ends: {why}; nothing acknowledged is lost, and the next start goes on"
        );
        let reason = format!("{why}; last part: {part}");
        self.marks.record_failure(&reason, SystemClock.now());
    }
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
