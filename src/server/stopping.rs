//! The stop of a running server, part by part, each within a limit.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::spawn_blocking;
use anyhow::{Context, Result};
use weir_dataflow::Status;
use weir_respond::Responders;
use weir_store::journal::JournalReader;

use crate::exit::ExitError;
use crate::server::stop_guard::PartStops;
use crate::server::topology::Server;

/// Longest stop of one listener.
const LISTENER_STOP_MAX: Duration = Duration::from_secs(2);

/// How long a stop waits for the sinks, which limit their own stop by a second less.
const SINKS_STOP_MAX: Duration = weir_respond::STOP_MAX.saturating_add(Duration::from_secs(1));

/// Longest last commit of the journal.
const JOURNAL_STOP_MAX: Duration = Duration::from_secs(5);

/// How long a stop waits for the graph to apply what is journaled.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// Longest end of the graph's threads, which finish the epochs that they have begun.
const GRAPH_STOP_MAX: Duration = Duration::from_secs(5);

/// Longest last sync of the ledger.
const LEDGER_SYNC_MAX: Duration = Duration::from_secs(5);

impl Server {
    /// Stops in flow order: listeners, sinks, journal, graph, streams. Every accepted event is
    /// journaled before, and applied unless the graph is far behind.
    ///
    /// A part that does not stop in time is left: an [`ExitError::Lost`] names it. The journal has
    /// everything that was acknowledged, so the next start loses nothing.
    pub async fn stop(self) -> Result<()> {
        self.health.watch.stop();
        let mut stops = PartStops::begin(&self.stage);
        for source in &self.sources {
            stops
                .stop("listeners", LISTENER_STOP_MAX, source.stop())
                .await;
        }
        // Sinks stop before the writer, so that their positions are journaled.
        let responders = Arc::clone(&self.responders);
        let sinks = spawn_blocking(move || responders.stop());
        stops.stop("sinks", SINKS_STOP_MAX, sinks).await;
        let journaled = stops
            .stop("journal", JOURNAL_STOP_MAX, self.intake.stop())
            .await;
        let last = self.journal.last_sealed();
        let status = Arc::clone(&self.status);
        let caught_up = spawn_blocking(move || status.wait_for(last, CATCH_UP_MAX));
        stops.stop("graph", CATCH_UP_MAX * 2, caught_up).await;
        self.log_rest("stopped with a rest, which the next start applies");
        let host = self.host;
        let host = spawn_blocking(move || host.stop());
        let stopped = stops.stop("graph", GRAPH_STOP_MAX, host).await;
        let ledger = Arc::clone(&self.ledger);
        let sync = spawn_blocking(move || ledger.sync());
        let synced = stops.stop("ledger", LEDGER_SYNC_MAX, sync).await;
        drop(self.commits);
        for web in &self.web {
            stops.stop("HTTP", LISTENER_STOP_MAX, web.stop()).await;
        }
        let left = stops.left();
        if !left.is_empty() {
            let left = left.join(", ");
            return Err(ExitError::Lost(format!("a part did not stop in time: {left}")).into());
        }
        journaled
            .unwrap_or(Ok(()))
            .context("the last events could not be journaled")?;
        if let Some(stopped) = stopped {
            stopped.context("the graph did not stop")??;
        }
        if let Some(synced) = synced {
            synced
                .context("the ledger did not sync")?
                .context("the ledger could not be synced")?;
        }
        self.marks.record_stop();
        Ok(())
    }

    /// Logs what is not done yet, if anything.
    fn log_rest(&self, message: &str) {
        let rest = self.rest().words();
        if !rest.is_empty() {
            tracing::warn!(rest, "{message}");
        }
    }

    /// The work that is not done, as long as this process lives.
    #[must_use]
    pub fn rest(&self) -> RestOfWork {
        RestOfWork {
            status: Arc::clone(&self.status),
            journal: self.journal.clone(),
            responders: Arc::clone(&self.responders),
        }
    }
}

/// The work of a server that is not done.
#[derive(Clone)]
pub struct RestOfWork {
    status: Arc<Status>,
    journal: JournalReader,
    responders: Arc<Responders>,
}

impl RestOfWork {
    /// The rest in words; empty if there is none.
    #[must_use]
    pub fn words(&self) -> String {
        let epochs = self
            .journal
            .last_sealed()
            .0
            .saturating_sub(self.status.epoch().0);
        let sinks = self.responders.activity();
        let waiting: usize = sinks.iter().map(|sink| sink.waiting).sum();
        let mut rest = Vec::new();
        if epochs > 0 {
            rest.push(format!("{epochs} epochs without results"));
        }
        if waiting > 0 {
            rest.push(format!("{waiting} alerts that sinks have not delivered"));
        }
        rest.join(", ")
    }
}
