//! The API of a process that does not lead its cluster: alerts and rules are at process 0.

use std::sync::Arc;

use weir_schema::outbox::OutboxRows;
use weir_schema::{AlertId, AlertRecord, Change, RuleId, WhatIfId};
use weir_web::ports::{
    AlertExplanation, AlertPage, AlertQuery, Alerts, Cursor, PortError, RuleDiagnostic, RuleInfo,
    RuleUpdateError, Rules, WhatIfInfo, WhatIfPage, WhatIfPort, WhatIfQuery, WhatIfRequest,
};

use crate::config::Config;

/// Refuses alerts, rules and what-ifs, and names process 0, which has them.
pub struct Elsewhere {
    pub process: usize,
    pub processes: usize,
}

impl Elsewhere {
    pub fn from_config(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            process: config.cluster.process,
            processes: config.cluster.addresses.len(),
        })
    }

    fn refuse<T>(&self) -> Result<T, PortError> {
        let Self { process, processes } = self;
        Err(PortError::Misdirected(format!(
            "this is process {process} of {processes}; alerts and rules are at process 0"
        )))
    }
}

impl Alerts for Elsewhere {
    fn list(&self, _: &AlertQuery) -> Result<AlertPage, PortError> {
        self.refuse()
    }

    fn get(&self, _: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError> {
        self.refuse()
    }

    fn explain(&self, _: AlertId) -> Result<Option<AlertExplanation>, PortError> {
        self.refuse()
    }

    fn previous(&self, _: AlertId, _: u64) -> Result<Option<Change>, PortError> {
        self.refuse()
    }

    fn outbox(&self, _: Cursor, _: usize) -> Result<OutboxRows, PortError> {
        self.refuse()
    }

    fn latest(&self) -> Result<Cursor, PortError> {
        self.refuse()
    }
}

impl Rules for Elsewhere {
    fn list(&self) -> Result<Vec<RuleInfo>, PortError> {
        self.refuse()
    }

    fn diagnostics(&self) -> Result<Vec<RuleDiagnostic>, PortError> {
        self.refuse()
    }

    fn add(&self, _: &str, _: &str) -> Result<Vec<RuleInfo>, RuleUpdateError> {
        Ok(self.refuse()?)
    }

    fn disable(&self, _: &str) -> Result<bool, PortError> {
        self.refuse()
    }

    fn enable(&self, _: &str) -> Result<bool, RuleUpdateError> {
        Ok(self.refuse()?)
    }

    fn remove(&self, _: &str) -> Result<Option<Vec<RuleId>>, PortError> {
        self.refuse()
    }

    fn what_ifs(&self) -> Option<&dyn WhatIfPort> {
        Some(self)
    }
}

impl WhatIfPort for Elsewhere {
    fn begin(&self, _: &WhatIfRequest) -> Result<WhatIfInfo, RuleUpdateError> {
        Ok(self.refuse()?)
    }

    fn list(&self) -> Result<Vec<WhatIfInfo>, PortError> {
        self.refuse()
    }

    fn get(&self, _: WhatIfId, _: WhatIfQuery) -> Result<Option<WhatIfPage>, PortError> {
        self.refuse()
    }

    fn promote(&self, _: WhatIfId) -> Result<Option<WhatIfInfo>, RuleUpdateError> {
        Ok(self.refuse()?)
    }

    fn end(&self, _: WhatIfId) -> Result<bool, PortError> {
        self.refuse()
    }
}
