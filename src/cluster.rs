//! One process of several: how it joins, what it remembers of that, and what it refuses to answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::TryRngCore;
use rand::rngs::OsRng;
use weir_dataflow::{ClusterOptions, Member, Pace, Secret};
use weir_schema::said::OutboxRows;
use weir_schema::{AlertId, AlertRecord, Change, Epoch, WhatIfId};
use weir_store::journal::JournalReader;
use weir_web::ports::{
    AlertQuery, Alerts, Cursor, Diagnostic, Explanation, Page, PortError, PutRule, RuleInfo, Rules,
    WhatIfAsk, WhatIfInfo, WhatIfPage, WhatIfQuery, WhatIfs,
};

use crate::config::Config;
use crate::token;

/// Where a process remembers which it is.
const PLACE: &str = "cluster";

/// Waits for the other processes; `None` where there are none. The journal ends at `sealed`.
pub fn join(config: &Config, dir: &Path, sealed: Epoch) -> Result<Option<Member>> {
    let cluster = &config.cluster;
    let known = known_place(dir)?;
    if !cluster.is_on() {
        if let Some((process, processes)) = known {
            bail!(
                "{} is of process {process} of {processes}, and holds only its part of the events; \
                 say so in the section `cluster` of the configuration",
                dir.display()
            );
        }
        return Ok(None);
    }
    let (process, processes) = (cluster.process, cluster.addresses.len());
    match known {
        Some((was, of)) if was != process || of > processes => bail!(
            "{} is of process {was} of {of}, and cannot be that of process {process} of {processes}: \
             events would be missing",
            dir.display()
        ),
        None if process > 0 && sealed > Epoch(0) => bail!(
            "{} holds the journal of a server by itself; it can be process 0, or process {process} \
             begins with a fresh folder",
            dir.display()
        ),
        _ => {}
    }
    let secret = cluster
        .secret_file
        .as_deref()
        .context("cluster.secret_file is missing")?;
    let secret = token::read(secret)?;
    let mut seed = [0; 32];
    let random = OsRng.try_fill_bytes(&mut seed);
    random.context("the system gave no random bytes")?;
    let options = ClusterOptions {
        process,
        addresses: cluster.addresses.clone(),
        workers: config.graph.workers,
        secret: Secret::of(&secret),
        seed,
    };
    tracing::info!(process, processes, "joining the cluster");
    let member = weir_dataflow::join(&options, sealed)?;
    std::fs::write(dir.join(PLACE), format!("{process} of {processes}\n"))?;
    Ok(Some(member))
}

/// Which process of how many the data folder is of; `None` for a server by itself.
pub fn known_place(dir: &Path) -> Result<Option<(usize, usize)>> {
    let path = dir.join(PLACE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
    };
    let read = text.trim().split_once(" of ");
    let read = read.and_then(|(process, of)| Some((process.parse().ok()?, of.parse().ok()?)));
    match read {
        Some(place) => Ok(Some(place)),
        None => bail!(
            "{} is damaged: write `0 of 2` for process 0 of 2",
            path.display()
        ),
    }
}

/// A journal that keeps pace with those of other processes.
pub struct PaceOf(pub JournalReader);

impl Pace for PaceOf {
    fn last_sealed(&self) -> Epoch {
        self.0.last_sealed()
    }

    fn promise(&self, epoch: Epoch) -> bool {
        self.0.promise(epoch)
    }

    fn wake(&self) {
        self.0.wake();
    }
}

/// Between two looks whether the graph goes on.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ends once the graph has failed: a process of a cluster does not outlive it.
pub async fn failed(status: &weir_dataflow::Status) {
    while !status.failed() {
        actix_rt::time::sleep(LOOK_EVERY).await;
    }
}

/// What another process answers for: alerts and rules are process 0's.
pub struct Elsewhere {
    pub process: usize,
    pub processes: usize,
}

impl Elsewhere {
    pub fn of(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            process: config.cluster.process,
            processes: config.cluster.addresses.len(),
        })
    }

    fn say<T>(&self) -> Result<T, PortError> {
        let Self { process, processes } = self;
        Err(PortError::Elsewhere(format!(
            "this is process {process} of {processes}; alerts and rules are at process 0"
        )))
    }
}

impl Alerts for Elsewhere {
    fn list(&self, _: &AlertQuery) -> Result<Page<AlertRecord>, PortError> {
        self.say()
    }

    fn get(&self, _: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError> {
        self.say()
    }

    fn explain(&self, _: AlertId) -> Result<Option<Explanation>, PortError> {
        self.say()
    }

    fn previous(&self, _: AlertId, _: u64) -> Result<Option<Change>, PortError> {
        self.say()
    }

    fn outbox(&self, _: Cursor, _: usize) -> Result<OutboxRows, PortError> {
        self.say()
    }

    fn latest(&self) -> Result<Cursor, PortError> {
        self.say()
    }
}

impl Rules for Elsewhere {
    fn list(&self) -> Result<Vec<RuleInfo>, PortError> {
        self.say()
    }

    fn diagnostics(&self) -> Result<Vec<Diagnostic>, PortError> {
        self.say()
    }

    fn put(&self, _: &str, _: &str) -> Result<Vec<RuleInfo>, PutRule> {
        Ok(self.say()?)
    }

    fn disable(&self, _: &str) -> Result<bool, PortError> {
        self.say()
    }

    fn enable(&self, _: &str) -> Result<bool, PutRule> {
        Ok(self.say()?)
    }

    fn remove(&self, _: &str) -> Result<bool, PortError> {
        self.say()
    }

    fn what_ifs(&self) -> Option<&dyn WhatIfs> {
        Some(self)
    }
}

impl WhatIfs for Elsewhere {
    fn begin(&self, _: &WhatIfAsk) -> Result<WhatIfInfo, PutRule> {
        Ok(self.say()?)
    }

    fn list(&self) -> Result<Vec<WhatIfInfo>, PortError> {
        self.say()
    }

    fn get(&self, _: WhatIfId, _: WhatIfQuery) -> Result<Option<WhatIfPage>, PortError> {
        self.say()
    }

    fn promote(&self, _: WhatIfId) -> Result<Option<WhatIfInfo>, PutRule> {
        Ok(self.say()?)
    }

    fn end(&self, _: WhatIfId) -> Result<bool, PortError> {
        self.say()
    }
}
