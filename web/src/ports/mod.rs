//! The traits through which HTTP reaches the rest of Weir; `src/server/adapters` implements them.

mod error;
pub use error::{IntakeError, PortError, RuleDiagnostic, RuleUpdateError};

mod alerts;
pub use alerts::{
    AlertExplanation, AlertPage, AlertQuery, Alerts, ExplainedEvent, FindingWriter, MatchedClause,
    OutboxSignal, StandingFilter,
};

mod intake;
pub use intake::{EventIntake, IntakeReceipt};

mod what_if;
pub use what_if::{
    BackfillInfo, WhatIfChange, WhatIfInfo, WhatIfKind, WhatIfPage, WhatIfPort, WhatIfQuery,
    WhatIfRequest, WhatIfRow, WhatIfSide,
};

mod rules;
pub use rules::{RuleInfo, Rules, SuspensionInfo};

mod sinks;
pub use sinks::{DeadLetter, SinkInfo, Sinks};

mod sources;
pub use sources::{SourceReports, UnreadSourceInfo, UnreadSources};

mod tap;
pub use tap::{Tap, TapQuery, TapStage, Taps};

pub use weir_schema::outbox::Cursor;

use std::sync::Arc;

use prometheus::Registry;

/// Whether Weir runs and is ready.
pub trait Health: Send + Sync {
    /// Returns at once, from memory. `Err` names the part that has ended; it is public.
    fn live(&self) -> Result<(), String>;

    /// Returns at once, from memory. `Err` names in a few words what is not ready; it is public.
    fn ready(&self) -> Result<(), String>;
}

/// Everything that the HTTP server needs of its process.
#[derive(Clone)]
pub struct WebPorts {
    pub alerts: Arc<dyn Alerts>,
    pub outbox_signal: Arc<dyn OutboxSignal>,
    pub intake: Arc<dyn EventIntake>,
    pub rules: Arc<dyn Rules>,
    pub sinks: Arc<dyn Sinks>,
    pub sources: Arc<dyn SourceReports>,
    /// Formats changes as OCSF findings.
    pub finding: FindingWriter,
    pub taps: Arc<dyn Taps>,
    pub health: Arc<dyn Health>,
    /// The metrics that `/metrics` shows; the server adds its own.
    pub registry: Registry,
}
