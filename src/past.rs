//! Lets epochs come quickly while rules read their past: each hands a part of it on.
//!
//! A busy server seals fifty epochs a second by itself; a quiet one seals one. So a tick is journaled
//! as soon as the graph is through the epoch before: as fast as it takes the past, and no faster.

use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;
use weir_ingest::{Clock, Intake};
use weir_schema::Control;
use weir_store::journal::JournalReader;

/// Between two looks whether some rule reads its past.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Between two looks whether the graph is through an epoch.
const STEP_EVERY: Duration = Duration::from_millis(2);

/// Ticks until the graph stops.
pub async fn hurry(
    status: Arc<Status>,
    journal: JournalReader,
    intake: Intake,
    clock: Arc<dyn Clock>,
) {
    while !status.is_stopping() && !status.failed() {
        if status.backfill().is_none() {
            actix_rt::time::sleep(LOOK_EVERY).await;
        } else if status.epoch() < journal.last_sealed() {
            actix_rt::time::sleep(STEP_EVERY).await;
        } else {
            let received = clock.now();
            // What refuses it refuses events, too, and is told there.
            if intake
                .control(vec![Control::Tick { received }])
                .await
                .is_err()
            {
                actix_rt::time::sleep(LOOK_EVERY).await;
            }
            actix_rt::time::sleep(STEP_EVERY).await;
        }
    }
}
