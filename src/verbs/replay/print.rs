//! Prints the results of a replay, one JSON object a line: as they come, or at the end.

use std::collections::BTreeMap;
use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use weir_dataflow::{EpochReport, Note, Observer, PortFault};
use weir_schema::{
    AlertId, AlertRecord, BatchSeq, Change, Commit, Epoch, Position, Problem, RuleId,
};
use weir_web::rfc3339;

use super::places::EventPlaces;
use crate::text::printable_json;

/// Which results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Every change of an alert, in order; or the alerts that stand at the end.
    Alerts,
    /// Every match of a rule with an event.
    Matches,
    /// Every event, normalized.
    Events,
}

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions {
    pub output: Output,
    /// Print only the alerts that stand at the end.
    pub only_final: bool,
    /// Print the ordinals of the events of an alert.
    pub evidence: bool,
}

/// State that reading and printing share.
#[derive(Default)]
pub struct ReplayState {
    places: Mutex<EventPlaces>,
    records: Mutex<BTreeMap<AlertId, AlertRecord>>,
    failure: Mutex<Option<std::io::Error>>,
    ended: AtomicBool,
}

impl ReplayState {
    pub fn places(&self) -> MutexGuard<'_, EventPlaces> {
        lock(&self.places)
    }

    /// Whether the replay must end: output is closed, or something failed.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The failure that ended the replay. A reader that closes standard output is none.
    pub fn take_failure(&self) -> std::io::Result<()> {
        lock(&self.failure).take().map_or(Ok(()), Err)
    }

    /// Ends the replay after an error of standard output. A closed pipe is not a failure.
    fn end(&self, error: &std::io::Error) {
        if error.kind() != ErrorKind::BrokenPipe {
            let text = format!("cannot write to standard output: {error}");
            self.fail(std::io::Error::new(error.kind(), text));
        }
        self.ended.store(true, Ordering::Release);
    }

    /// Ends the replay with a failure; the first one is reported.
    fn fail(&self, error: std::io::Error) {
        lock(&self.failure).get_or_insert(error);
        self.ended.store(true, Ordering::Release);
    }
}

/// Locks state that is consistent after every statement, so also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A ledger in memory, which ends with the replay.
pub struct MemoryLedger(pub Arc<ReplayState>);

impl weir_dataflow::AlertLedger for MemoryLedger {
    fn applied(&self) -> Epoch {
        Epoch(0)
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        Ok(lock(&self.0.records).get(&alert).cloned())
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault> {
        let changed = commit.records.iter().cloned();
        lock(&self.0.records).extend(changed.map(|record| (record.alert, record)));
        Ok(())
    }
}

/// Prints results as epochs are applied.
pub struct ReplayPrinter {
    pub options: PrintOptions,
    pub state: Arc<ReplayState>,
    /// Names of the files.
    pub files: Vec<String>,
    pub titles: BTreeMap<RuleId, String>,
    pub out: BufWriter<Stdout>,
}

impl Observer for ReplayPrinter {
    fn on_epoch(&mut self, report: &EpochReport<'_>) {
        if self.state.ended() {
            return;
        }
        let printed = match self.options.output {
            Output::Alerts if self.options.only_final => Ok(()),
            Output::Alerts => report.commit.map_or(Ok(()), |commit| self.changes(commit)),
            Output::Matches => self.matches(report.notes),
            Output::Events => self.events(report.notes),
        };
        if let Err(error) = printed {
            self.state.end(&error);
        }
        let batches = report.notes.iter().filter_map(|note| match note {
            Note::Batch(batch) => Some(batch.batch),
            _ => None,
        });
        if let Some(last) = batches.max_by_key(|seq: &BatchSeq| seq.0) {
            self.state.places().release(last);
        }
    }

    fn on_commit_failed(&mut self, fault: &PortFault) {
        // A temporary journal that cannot be read is not retried.
        self.state
            .fail(std::io::Error::other(fault.message.clone()));
    }
}

impl Drop for ReplayPrinter {
    /// Flushes, and reports an error of it: nobody else can.
    fn drop(&mut self) {
        if !self.state.ended()
            && let Err(error) = self.out.flush()
        {
            self.state.end(&error);
        }
    }
}

impl ReplayPrinter {
    fn changes(&mut self, commit: &Commit) -> std::io::Result<()> {
        let places = lock(&self.state.places);
        let places = self.options.evidence.then_some(&*places);
        for change in &commit.changes {
            write_json(&mut self.out, &change_json(change, places).to_string())?;
        }
        Ok(())
    }

    fn matches(&mut self, notes: &[Note]) -> std::io::Result<()> {
        let mut matches: Vec<(Position, &RuleId)> = notes
            .iter()
            .filter_map(|note| match note {
                Note::Match(position, rule) => Some((*position, rule)),
                _ => None,
            })
            .collect();
        matches.sort_unstable();
        let places = lock(&self.state.places);
        for (position, rule) in matches {
            let line = places.line(position);
            let file = line.and_then(|(file, _)| self.files.get(file));
            let found = json!({
                "event": places.ordinal(position),
                "file": file,
                "line": line.map(|(_, line)| line),
                "rule": &**rule,
                "title": self.titles.get(rule),
            });
            write_json(&mut self.out, &found.to_string())?;
        }
        Ok(())
    }

    fn events(&mut self, notes: &[Note]) -> std::io::Result<()> {
        let mut events: Vec<(Position, &str)> = notes
            .iter()
            .filter_map(|note| match note {
                Note::Event(position, event) => Some((*position, event.as_str())),
                _ => None,
            })
            .collect();
        events.sort_unstable();
        let places = lock(&self.state.places);
        for (position, event) in events {
            if places.is_cut(position) {
                write_json(&mut self.out, &mark_cut(event))?;
            } else {
                write_json(&mut self.out, event)?;
            }
        }
        Ok(())
    }
}

/// Writes a line of JSON that is safe for a terminal.
fn write_json(out: &mut impl Write, json: &str) -> std::io::Result<()> {
    writeln!(out, "{}", printable_json(json))
}

/// Adds the problem that the line was cut, which the parser only knows by the marker of a line.
fn mark_cut(event: &str) -> String {
    let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(event) else {
        return event.to_owned();
    };
    let problems = object.entry("problems").or_insert_with(|| json!([]));
    if let Value::Array(problems) = problems {
        let truncated = Value::from(Problem::Truncated.name());
        if !problems.contains(&truncated) {
            problems.push(truncated);
        }
    }
    Value::Object(object).to_string()
}

fn change_json(change: &Change, places: Option<&EventPlaces>) -> Value {
    let record = &change.record;
    let mut object = Map::new();
    object.insert("change".into(), change.kind.name().into());
    object.insert("alert".into(), record.alert.to_string().into());
    object.insert("key".into(), record.key.to_string().into());
    object.insert("revision".into(), record.revision.into());
    object.extend(columns(record));
    object.insert("state".into(), record.state.name().into());
    object.insert("cause".into(), record.cause.name().into());
    let superseded = change.supersedes.iter().map(ToString::to_string);
    object.insert("supersedes".into(), superseded.collect());
    if let Some(places) = places {
        object.insert("events".into(), ordinals(record, places).into());
    }
    Value::Object(object)
}

fn columns(record: &AlertRecord) -> Map<String, Value> {
    let group = record.group.iter();
    let group = group.map(|field| (field.name.clone(), Value::from(field.value.as_str())));
    let mut object = Map::new();
    object.insert("rule".into(), (*record.rule).into());
    object.insert("title".into(), record.title.as_str().into());
    object.insert("level".into(), record.level.name().into());
    object.insert("group".into(), Value::Object(group.collect()));
    object.insert("first".into(), rfc3339(record.first).into());
    object.insert("last".into(), rfc3339(record.last).into());
    object.insert("count".into(), record.count.into());
    object
}

/// Ordinals of the events of an alert, at most the first and the last fifty, ascending.
fn ordinals(record: &AlertRecord, places: &EventPlaces) -> Vec<u64> {
    let items = record.evidence.head.iter().chain(&record.evidence.tail);
    let mut ordinals: Vec<u64> = items
        .filter_map(|item| places.ordinal(item.position))
        .collect();
    ordinals.sort_unstable();
    ordinals
}

/// Prints the alerts that stand, sorted by rule, group and first event.
pub fn print_final(state: &ReplayState, evidence: bool) {
    let records = lock(&state.records);
    let mut standing: Vec<&AlertRecord> = records.values().filter(|r| r.standing).collect();
    standing.sort_by(|a, b| {
        let order = |r: &AlertRecord| (r.first, r.key);
        let names = a.rule.cmp(&b.rule).then_with(|| a.group.cmp(&b.group));
        names.then_with(|| order(a).cmp(&order(b)))
    });
    let places = lock(&state.places);
    let mut out = BufWriter::new(std::io::stdout());
    let print = || {
        for record in standing {
            let mut object = Map::new();
            object.insert("key".into(), record.key.to_string().into());
            object.extend(columns(record));
            if evidence {
                object.insert("events".into(), ordinals(record, &places).into());
            }
            write_json(&mut out, &Value::Object(object).to_string())?;
        }
        out.flush()
    };
    if let Err(error) = print() {
        state.end(&error);
    }
}
