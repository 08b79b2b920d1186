//! Follows the clock of a running server: journals its jumps, and reports them.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use weir_ingest::{Intake, SteadyClock, SubmitError};
use weir_schema::{ClockJump, ClockJumpKind, ConditionKind, Control};

use crate::config::Config;
use crate::server::clock::describe;
use crate::server::conditions::ConditionReporter;
use crate::server::parts::{RunningJournal, ServerBase};

/// Pause between two readings while nothing else reads the clock.
const READ_EVERY: Duration = Duration::from_millis(250);

/// Entries that wait while the journal takes nothing.
const WAITING_MAX: usize = 64;

/// Journals and reports the jumps of a server's clock.
pub struct ClockWatch {
    pub clock: Arc<SteadyClock>,
    pub conditions: ConditionReporter,
    /// `None` in a process that does not lead its cluster.
    pub intake: Option<Intake>,
    pub jumps: IntCounter,
}

impl ClockWatch {
    /// Starts to follow the clock of a server.
    pub fn start(config: &Config, journal: &RunningJournal, base: &ServerBase) {
        let leads = !config.cluster.follows();
        let watch = Self {
            clock: Arc::clone(&base.steady),
            conditions: journal.conditions.clone(),
            intake: leads.then(|| journal.intake.clone()),
            jumps: base.clock_jumps.clone(),
        };
        actix_rt::spawn(watch.follow(journal.jump_at_start));
    }

    /// Reports the jump at the start, which is journaled, and then follows the clock until the
    /// journal is closed.
    pub async fn follow(self, at_start: Option<ClockJump>) {
        if let Some(jump) = at_start {
            self.report(&jump);
        }
        let mut waiting: Vec<Control> = Vec::new();
        loop {
            for jump in self.clock.take_jumps() {
                self.report(&jump);
                waiting.push(Control::ClockJump(jump));
            }
            let surplus = waiting.len().saturating_sub(WAITING_MAX);
            waiting.drain(..surplus);
            if let (false, Some(intake)) = (waiting.is_empty(), &self.intake) {
                match intake.control(waiting.clone()).await {
                    Ok(_) => waiting.clear(),
                    Err(SubmitError::Stopped) => return,
                    Err(_) => {} // Journaled at the next turn.
                }
            }
            actix_rt::time::sleep(READ_EVERY).await;
        }
    }

    fn report(&self, jump: &ClockJump) {
        let text = describe(jump);
        match jump.kind {
            ClockJumpKind::TakenBack => {
                tracing::warn!("{text}");
                return;
            }
            ClockJumpKind::Doubted
            | ClockJumpKind::StartedBefore
            | ClockJumpKind::StartedFarAfter => self.jumps.inc(),
            ClockJumpKind::Believed => {}
        }
        tracing::error!("{text}");
        self.conditions
            .report(ConditionKind::ClockJumped, "", &text);
    }
}
