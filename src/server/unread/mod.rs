//! Watches the share of each source's events that no reader knows, and quotes some of them.
//!
//! ```text
//!  workers ─ counts of batches ─► observer ─► counts, 1 h ─┬─► judge, 10 s ─► conditions (alerts)
//!                                                          └─► API ─► weir top
//! ```
//!
//! Only events of this run count, so a replay of the journal decides nothing.

mod counts;
mod judge;
mod quotes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_dataflow::{BatchNote, BatchReader, Status};
use weir_ingest::SourceName;
use weir_schema::{ConditionKind, Position};
use weir_web::ports::{PortError, SourceReports, UnreadSourceInfo, UnreadSources};

use crate::config::SelfAlertsConfig;
use crate::server::conditions::ConditionReporter;
use counts::{SourceCount, UnreadCounts};
use judge::{UnreadBounds, UnreadLook, judge};
use quotes::quotes;

/// Pause between two judgements.
const JUDGE_EVERY: Duration = Duration::from_secs(10);

/// Most sources in the answer of the API, those with most unread events first. A page of `weir top`
/// shows fewer.
const LISTED_MAX: usize = 50;

/// The counts of all sources. Clones share their state.
#[derive(Clone)]
pub struct UnreadLines(Arc<UnreadState>);

struct UnreadState {
    counts: Mutex<UnreadCounts>,
    window: Duration,
    started: Instant,
}

impl UnreadLines {
    pub fn new(config: &SelfAlertsConfig) -> Self {
        let window = config.unread_window.to_std();
        Self(Arc::new(UnreadState {
            counts: Mutex::new(UnreadCounts::new(window)),
            window,
            started: Instant::now(),
        }))
    }

    /// Adds a batch of events that this run journaled.
    pub fn record(&self, source: SourceName, batch: &BatchNote) {
        let now = self.0.started.elapsed();
        self.lock().record(now, source, batch);
    }

    fn list(&self) -> Vec<SourceCount> {
        let now = self.0.started.elapsed();
        self.lock().list(now)
    }

    // They are sums of figures: a panic elsewhere costs one of them at most.
    fn lock(&self) -> MutexGuard<'_, UnreadCounts> {
        let counts = self.0.counts.lock();
        counts.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges the sources of a running server, until it stops.
pub struct UnreadKeeper {
    pub lines: UnreadLines,
    pub status: Arc<Status>,
    pub frames: Arc<dyn BatchReader>,
    pub conditions: ConditionReporter,
}

impl UnreadKeeper {
    pub async fn keep(self, config: SelfAlertsConfig) {
        let bounds = UnreadBounds::new(&config);
        let mut quoted: BTreeMap<String, String> = BTreeMap::new();
        while !self.status.is_stopping() {
            actix_rt::time::sleep(JUDGE_EVERY).await;
            self.look(&bounds, &mut quoted).await;
        }
    }

    /// Begins, revises and ends conditions. `quoted` has the samples of those that stand.
    async fn look(&self, bounds: &UnreadBounds, quoted: &mut BTreeMap<String, String>) {
        let kind = ConditionKind::SourceUnread;
        let (sources, standing) = (self.lines.list(), self.conditions.standing(kind));
        let verdict = judge(
            bounds,
            UnreadLook {
                up: self.lines.0.started.elapsed(),
                sources: &sources,
                standing: &standing,
            },
        );
        for source in &verdict.over {
            let subject = source.name.to_string();
            if !quoted.contains_key(&subject) {
                let samples = self.samples(source.samples.clone()).await;
                quoted.insert(subject.clone(), samples);
            }
            let samples = quoted.get(&subject).map_or("", String::as_str);
            let details = format!("{} % of its events", source.percent());
            self.conditions
                .report_quoting(kind, &subject, &details, samples);
        }
        for subject in &verdict.ended {
            quoted.remove(subject);
            self.conditions.end(kind, subject);
        }
    }

    /// Samples as they stand behind the figures in the title of the alert.
    async fn samples(&self, positions: Vec<Position>) -> String {
        let frames = Arc::clone(&self.frames);
        let read = actix_rt::task::spawn_blocking(move || quotes(&*frames, &positions));
        let samples = read.await.unwrap_or_default();
        match samples.is_empty() {
            true => String::new(),
            false => format!(", such as \"{}\"", samples.join("\", \"")),
        }
    }
}

/// The port by which the API lists sources with unread events.
pub struct ListUnread {
    pub lines: UnreadLines,
    pub frames: Arc<dyn BatchReader>,
    pub conditions: ConditionReporter,
}

impl SourceReports for ListUnread {
    fn unread(&self) -> Result<UnreadSources, PortError> {
        let standing = self.conditions.standing(ConditionKind::SourceUnread);
        let mut sources = self.lines.list();
        sources.retain(|source| source.unread > 0);
        sources.sort_by(|a, b| b.unread.cmp(&a.unread).then_with(|| a.name.cmp(&b.name)));
        sources.truncate(LISTED_MAX);
        let info = |source: SourceCount| UnreadSourceInfo {
            samples: quotes(&*self.frames, &source.samples),
            is_alerting: standing.contains(&source.name.to_string()),
            tenant: source.name.tenant,
            source: source.name.source,
            events: source.events,
            unread: source.unread,
        };
        Ok(UnreadSources {
            window: self.lines.0.window,
            sources: sources.into_iter().map(info).collect(),
        })
    }
}
