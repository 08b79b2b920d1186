//! Joins this process to a cluster, and records in the data folder which process it is.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::TryRngCore;
use rand::rngs::OsRng;
use weir_dataflow::{ClusterMember, ClusterOptions, ClusterSecret, SealControl};
use weir_schema::Epoch;
use weir_store::journal::JournalReader;

use crate::config::Config;
use crate::server::token;

/// File of the data folder that records which process the folder belongs to.
const PLACE: &str = "cluster";

/// Joins the cluster, and waits for its other processes; `None` for a server by itself.
///
/// `sealed` is the last epoch of this process's journal.
pub fn join(config: &Config, dir: &Path, sealed: Epoch) -> Result<Option<ClusterMember>> {
    let cluster = &config.cluster;
    let recorded = recorded_place(dir)?;
    if !cluster.is_on() {
        if let Some(ClusterPlace { process, processes }) = recorded {
            bail!(
                "{} belongs to process {process} of {processes}, and holds only its part of the \
                 events; configure that process in the section `cluster`",
                dir.display()
            );
        }
        return Ok(None);
    }
    let (process, processes) = (cluster.process, cluster.addresses.len());
    match recorded {
        Some(was) if was.process != process || was.processes > processes => bail!(
            "{} belongs to process {} of {}, not to process {process} of {processes}: \
             events would be missing",
            dir.display(),
            was.process,
            was.processes,
        ),
        None if process > 0 && sealed > Epoch(0) => bail!(
            "{} holds the journal of a server by itself; use it for process 0, or start process \
             {process} with an empty folder",
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
        secret: ClusterSecret::from_text(&secret),
        seed,
    };
    tracing::info!(process, processes, "joining the cluster");
    let member = weir_dataflow::join(&options, sealed)?;
    std::fs::write(dir.join(PLACE), format!("{process} of {processes}\n"))?;
    Ok(Some(member))
}

/// The process that a data folder belongs to, among all processes of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterPlace {
    pub process: usize,
    pub processes: usize,
}

/// Reads which process the data folder belongs to; `None` for a server by itself.
pub fn recorded_place(dir: &Path) -> Result<Option<ClusterPlace>> {
    let path = dir.join(PLACE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
    };
    let place = text.trim().split_once(" of ");
    let place = place.and_then(|(process, processes)| {
        Some(ClusterPlace {
            process: process.parse().ok()?,
            processes: processes.parse().ok()?,
        })
    });
    match place {
        Some(place) => Ok(Some(place)),
        None => bail!(
            "{} is damaged: write `0 of 2` for process 0 of 2",
            path.display()
        ),
    }
}

/// Keeps the epochs of the journal in step with those of other processes.
pub struct JournalSealControl(pub JournalReader);

impl SealControl for JournalSealControl {
    fn last_sealed(&self) -> Epoch {
        self.0.last_sealed()
    }

    fn raise_floor(&self, epoch: Epoch) -> bool {
        self.0.raise_floor(epoch)
    }

    fn wake(&self) {
        self.0.wake();
    }
}
