//! The ports of rule management: the intake as its journal, the graph's status as its progress.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use weir_dataflow::{Status, WhatIfState};
use weir_ingest::{Intake, ReceiveClock, SubmitError, SystemClock};
use weir_manage::{AppendFailed, ControlJournal, EditClock, GraphProgress, WhatIfStage};
use weir_schema::{Control, Epoch, EventTime, ReceiveTime, WhatIfId};

use crate::server::edits_ahead::EditsAhead;

/// Appends edits of rules to the journal through the intake.
pub struct EditJournal {
    pub intake: Intake,
    /// `None` in a cluster, whose processes share their epochs: there an edit takes effect at its place.
    pub ahead: Option<Arc<EditsAhead>>,
}

impl EditJournal {
    async fn append_controls(&self, controls: Vec<Control>) -> Result<(), SubmitError> {
        let Some(ahead) = &self.ahead else {
            return self.intake.control(controls).await.map(drop);
        };
        let _turn = ahead.turn.lock().await;
        let mark = Control::Ahead {
            from: ahead.hold(),
            controls: u32::try_from(controls.len()).unwrap_or(u32::MAX),
        };
        let marked = std::iter::once(mark).chain(controls.iter().cloned());
        match self.intake.control(marked.collect()).await {
            Ok(_) => ahead.release(controls),
            // It may be durable or not. The next start reads which, and nothing may be derived before.
            Err(SubmitError::Stopped) => return Err(SubmitError::Stopped),
            Err(error) => {
                ahead.release(Vec::new());
                return Err(error);
            }
        }
        Ok(())
    }
}

impl ControlJournal for EditJournal {
    fn append(&self, controls: Vec<Control>) -> BoxFuture<'_, Result<(), AppendFailed>> {
        let failed = |error: SubmitError| AppendFailed {
            message: error.to_string(),
        };
        async move { self.append_controls(controls).await.map_err(failed) }.boxed()
    }
}

/// Reads the progress of the graph for edits of rules.
pub struct EditProgress(pub Arc<Status>);

impl GraphProgress for EditProgress {
    fn wait_for(&self, epoch: Epoch, limit: Duration) -> bool {
        self.0.wait_for(epoch, limit)
    }

    fn has_ended(&self) -> bool {
        self.0.failed() || self.0.is_stopping()
    }

    fn watermark(&self) -> Option<EventTime> {
        let clocks = self.0.clocks();
        clocks.iter().map(|clock| clock.watermark).min()
    }

    fn greatest(&self) -> Option<EventTime> {
        self.0.max_event_time()
    }

    fn what_if(&self, id: WhatIfId) -> Option<WhatIfStage> {
        let state = self.0.what_ifs().report(id)?.state;
        Some(match state {
            WhatIfState::Deriving => WhatIfStage::Deriving,
            WhatIfState::Running => WhatIfStage::Running,
            other => WhatIfStage::Ended(other.name()),
        })
    }
}

/// Reads the system's clock, which makes ids of what-ifs unique.
pub struct SystemEditClock;

impl EditClock for SystemEditClock {
    fn now(&self) -> ReceiveTime {
        SystemClock.now()
    }
}
