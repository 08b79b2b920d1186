//! Journal and ledger as the graph of a server uses them: with the clock repairs of the journal.

use std::sync::Arc;

use anyhow::Result;
use weir_dataflow::BatchReader;
use weir_schema::{ClockRepairs, Epoch};
use weir_store::ledger::Ledger;

use crate::config::Config;
use crate::server::adapters::{
    FollowEpochs, FollowFrames, Repaired, WriteLedger, WriteRepairedLedger,
};
use crate::server::derive::{Past, follow_repairs};
use crate::server::edits_ahead::EditedEpochs;
use crate::server::parts::RunningJournal;

/// The ports of a graph.
pub struct GraphPorts {
    pub source: Box<EditedEpochs<Repaired<FollowEpochs>>>,
    pub frames: Arc<dyn BatchReader>,
    pub ledger: Box<WriteRepairedLedger>,
}

impl GraphPorts {
    /// Brings the ledger to the last repair of the journal, and opens the ports.
    pub fn open(config: &Config, journal: &RunningJournal, ledger: &Arc<Ledger>) -> Result<Self> {
        let (reader, repairs) = (&journal.reader, &journal.repairs);
        let mut next_report = 0;
        let past = Past {
            journal: reader,
            ahead: &journal.ahead,
            workers: config.graph.workers,
        };
        follow_repairs(&past, ledger, repairs, &mut |epoch| {
            if epoch.0 >= next_report {
                tracing::info!(epoch = epoch.0, "deriving the ledger up to a clock repair");
                next_report = epoch.0.saturating_add(REPORT_EPOCHS);
            }
        })?;
        Ok(Self {
            source: Box::new(EditedEpochs::new(
                Repaired {
                    read: FollowEpochs(reader.cursor(Epoch(1))),
                    repairs: Arc::clone(repairs),
                },
                Arc::clone(&journal.ahead),
            )),
            frames: Arc::new(Repaired {
                read: FollowFrames(reader.clone()),
                repairs: Arc::clone(repairs),
            }),
            ledger: Box::new(WriteRepairedLedger {
                ledger: WriteLedger(Arc::clone(ledger)),
                repairs: ClockRepairs::clone(repairs),
            }),
        })
    }
}

/// Epochs between two reports of the progress in the log.
const REPORT_EPOCHS: u64 = 10_000;
