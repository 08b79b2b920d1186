//! Speeds up backfills by sealing epochs faster: each epoch hands one part of the past to the
//! rules.
//!
//! A busy server seals fifty epochs a second by itself, a quiet one seals one. While a backfill
//! runs, this task journals a tick as soon as the graph has applied the epoch before. The backfill
//! then runs as fast as the graph, and no faster.

use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;
use weir_ingest::{Intake, ReceiveClock};
use weir_schema::Control;
use weir_store::journal::JournalReader;

/// Pause between two checks whether a backfill runs.
const IDLE_PAUSE: Duration = Duration::from_millis(50);

/// Pause between two checks whether the graph has applied an epoch.
const STEP_PAUSE: Duration = Duration::from_millis(2);

/// Journals ticks while a backfill runs, until the graph stops.
pub async fn tick_during_backfills(
    status: Arc<Status>,
    journal: JournalReader,
    intake: Intake,
    clock: Arc<dyn ReceiveClock>,
) {
    while !status.is_stopping() && !status.failed() {
        if status.backfill().is_none() {
            actix_rt::time::sleep(IDLE_PAUSE).await;
        } else if status.epoch() < journal.last_sealed() {
            actix_rt::time::sleep(STEP_PAUSE).await;
        } else {
            let received = clock.now();
            // If the journal fails, intake also rejects events and reports it.
            if intake
                .control(vec![Control::Tick { received }])
                .await
                .is_err()
            {
                actix_rt::time::sleep(IDLE_PAUSE).await;
            }
            actix_rt::time::sleep(STEP_PAUSE).await;
        }
    }
}
