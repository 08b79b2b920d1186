//! Opens the ledger after a check, rebuilds it if it is damaged, and keeps it durable.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use weir_ingest::{ReceiveClock, SystemClock};
use weir_schema::{Epoch, READING_NUMBER};
use weir_store::StoreMetrics;
use weir_store::ledger::{self, Ledger};

/// Pause between two syncs of the ledger. A crash loses nothing: the graph derives it again.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// Longest check of a ledger, which runs in its own process, since its engine may panic on damage.
pub const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// Opens the ledger below `dir`; if it cannot be used, sets it aside and starts an empty one.
///
/// `sealed` is the last epoch that the journal held when it was opened. A ledger that has applied
/// later ones is set aside too: the journal will give their numbers to other events.
pub fn open_ledger(dir: &Path, metrics: &StoreMetrics, sealed: Epoch) -> Result<Ledger> {
    let checked = ledger::check_in_child(check_command(dir)?, CHECK_LIMIT)?;
    if let Err(reason) = checked {
        // This process holds the journal's lock, so the check did not meet another server.
        let aside = set_aside(dir, metrics)?;
        tracing::error!(%reason, %aside, "the ledger is damaged; rebuilding it");
        return Ok(Ledger::open(dir)?);
    }
    let ledger = Ledger::open(dir)?;
    let applied = ledger.applied();
    if applied <= sealed {
        log_reading(ledger.reading().number);
        return Ok(ledger);
    }
    drop(ledger);
    let aside = set_aside(dir, metrics)?;
    let (applied, sealed) = (applied.0, sealed.0);
    tracing::error!(
        applied, sealed, %aside,
        "the ledger has epochs that the journal has lost; rebuilding it"
    );
    Ok(Ledger::open(dir)?)
}

/// Announces that the rows of a ledger of another reading will be replaced.
fn log_reading(ledger: u32) {
    let this = READING_NUMBER;
    match ledger.cmp(&this) {
        Ordering::Equal => {}
        Ordering::Less => tracing::warn!(
            ledger,
            this,
            "this version reads earlier events otherwise: after the replay, alerts that differ are \
             retracted, raised or revised once, with the cause upgrade"
        ),
        Ordering::Greater => tracing::warn!(
            ledger,
            this,
            "a newer version of Weir wrote the ledger: after the replay, alerts that this version \
             reads otherwise are retracted, raised or revised once, with the cause upgrade"
        ),
    }
}

/// The command that checks a ledger in its own process.
pub fn check_command(dir: &Path) -> std::io::Result<std::process::Command> {
    let mut check = std::process::Command::new(std::env::current_exe()?);
    check.arg("check-ledger").arg(dir);
    Ok(check)
}

/// Renames the folder of a ledger. Returns the new path.
fn set_aside(dir: &Path, metrics: &StoreMetrics) -> std::io::Result<String> {
    let stamp = SystemClock.now().0 / 1_000_000_000;
    let aside = ledger::quarantine(dir, &stamp.to_string())?;
    metrics.state_rebuilds_total.inc();
    Ok(aside.display().to_string())
}

/// Syncs the ledger regularly, for as long as it is in use.
pub fn sync_regularly(ledger: &Arc<Ledger>, metrics: &StoreMetrics) {
    let (ledger, metrics) = (Arc::downgrade(ledger), metrics.clone());
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(SYNC_EVERY).await;
            let Some(ledger) = ledger.upgrade() else {
                return;
            };
            let metrics = metrics.clone();
            let sync = move || {
                if let Err(error) = ledger.sync() {
                    tracing::error!(%error, "the ledger could not be synced");
                }
                if let Ok(bytes) = ledger.size_bytes() {
                    metrics
                        .state_bytes
                        .set(i64::try_from(bytes).unwrap_or(i64::MAX));
                }
            };
            let _ = actix_rt::task::spawn_blocking(sync).await;
        }
    });
}
