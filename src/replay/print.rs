//! What a replay says: one JSON object a line, as the graph comes to it, or what stands at the end.

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

use super::places::Places;

/// What lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Every change of an alert, in order; or the alerts that stand at the end.
    Alerts,
    /// Every event that a rule matched.
    Matches,
    /// Every event, normalized.
    Events,
}

/// How they are printed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub output: Output,
    /// Only what stands at the end.
    pub only_final: bool,
    pub evidence: bool,
}

/// What the reading of files and the printing of results know of each other.
#[derive(Default)]
pub struct Told {
    places: Mutex<Places>,
    records: Mutex<BTreeMap<AlertId, AlertRecord>>,
    failure: Mutex<Option<std::io::Error>>,
    ended: AtomicBool,
}

impl Told {
    pub fn places(&self) -> MutexGuard<'_, Places> {
        lock(&self.places)
    }

    /// Whether there is no use in going on.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Why not; fine where the reader of standard output has just had enough.
    pub fn failure(&self) -> std::io::Result<()> {
        lock(&self.failure).take().map_or(Ok(()), Err)
    }

    /// Standard output failed; a reader who has enough is no failure.
    fn end(&self, error: &std::io::Error) {
        if error.kind() != ErrorKind::BrokenPipe {
            let text = format!("cannot write to standard output: {error}");
            self.fail(std::io::Error::new(error.kind(), text));
        }
        self.ended.store(true, Ordering::Release);
    }

    fn fail(&self, error: std::io::Error) {
        lock(&self.failure).get_or_insert(error);
        self.ended.store(true, Ordering::Release);
    }
}

/// What these guard is whole after every statement, so a panic elsewhere leaves nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The alerts of a replay, in memory: its ledger ends with it.
pub struct Records(pub Arc<Told>);

impl weir_dataflow::Ledger for Records {
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

/// Prints as epochs are judged.
pub struct Printer {
    pub wanted: Wanted,
    pub told: Arc<Told>,
    /// Names of the inputs.
    pub files: Vec<String>,
    pub titles: BTreeMap<RuleId, String>,
    pub out: BufWriter<Stdout>,
}

impl Observer for Printer {
    fn epoch(&mut self, report: &EpochReport<'_>) {
        if self.told.ended() {
            return;
        }
        let printed = match self.wanted.output {
            Output::Alerts if self.wanted.only_final => Ok(()),
            Output::Alerts => report.commit.map_or(Ok(()), |commit| self.changes(commit)),
            Output::Matches => self.matches(report.notes),
            Output::Events => self.events(report.notes),
        };
        if let Err(error) = printed {
            self.told.end(&error);
        }
        let batches = report.notes.iter().filter_map(|note| match note {
            Note::Batch(batch) => Some(batch.batch),
            _ => None,
        });
        if let Some(last) = batches.max_by_key(|seq: &BatchSeq| seq.0) {
            self.told.places().tell(last);
        }
    }

    fn fault(&mut self, fault: &PortFault) {
        // A journal of minutes' life that cannot be read is not worth waiting for.
        self.told.fail(std::io::Error::other(fault.message.clone()));
    }
}

impl Drop for Printer {
    /// Nobody asks a printer whether it is done, so what it cannot write at last is told here.
    fn drop(&mut self) {
        if !self.told.ended()
            && let Err(error) = self.out.flush()
        {
            self.told.end(&error);
        }
    }
}

impl Printer {
    fn changes(&mut self, commit: &Commit) -> std::io::Result<()> {
        let places = lock(&self.told.places);
        let places = self.wanted.evidence.then_some(&*places);
        for change in &commit.changes {
            writeln!(self.out, "{}", change_json(change, places))?;
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
        let places = lock(&self.told.places);
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
            writeln!(self.out, "{found}")?;
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
        let places = lock(&self.told.places);
        for (position, event) in events {
            if places.is_cut(position) {
                writeln!(self.out, "{}", mark_cut(event))?;
            } else {
                writeln!(self.out, "{event}")?;
            }
        }
        Ok(())
    }
}

/// Adds that the line was cut, which its reader knows and its parser cannot.
fn mark_cut(event: &str) -> String {
    let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(event) else {
        return event.to_owned();
    };
    let problems = object.entry("problems").or_insert_with(|| json!([]));
    if let Value::Array(problems) = problems {
        problems.push(Problem::Truncated.name().into());
    }
    Value::Object(object).to_string()
}

fn change_json(change: &Change, places: Option<&Places>) -> Value {
    let record = &change.record;
    let mut object = Map::new();
    object.insert("change".into(), change.kind.name().into());
    object.insert("alert".into(), record.alert.to_string().into());
    object.insert("key".into(), record.key.to_string().into());
    object.insert("revision".into(), record.revision.into());
    object.extend(columns(record));
    object.insert("state".into(), record.state.name().into());
    object.insert("cause".into(), record.cause.name().into());
    let swallowed = change.supersedes.iter().map(ToString::to_string);
    object.insert("supersedes".into(), swallowed.collect());
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

/// The events that an alert rests on, the first and last fifty, ascending.
fn ordinals(record: &AlertRecord, places: &Places) -> Vec<u64> {
    let items = record.evidence.head.iter().chain(&record.evidence.tail);
    let mut ordinals: Vec<u64> = items
        .filter_map(|item| places.ordinal(item.position))
        .collect();
    ordinals.sort_unstable();
    ordinals
}

/// Prints the alerts that stand, sorted by rule, group and first.
pub fn print_final(told: &Told, evidence: bool) {
    let records = lock(&told.records);
    let mut standing: Vec<&AlertRecord> = records.values().filter(|r| r.standing).collect();
    standing.sort_by(|a, b| {
        let order = |r: &AlertRecord| (r.first, r.key);
        let names = a.rule.cmp(&b.rule).then_with(|| a.group.cmp(&b.group));
        names.then_with(|| order(a).cmp(&order(b)))
    });
    let places = lock(&told.places);
    let mut out = BufWriter::new(std::io::stdout());
    let print = || {
        for record in standing {
            let mut object = Map::new();
            object.insert("key".into(), record.key.to_string().into());
            object.extend(columns(record));
            if evidence {
                object.insert("events".into(), ordinals(record, &places).into());
            }
            writeln!(out, "{}", Value::Object(object))?;
        }
        out.flush()
    };
    if let Err(error) = print() {
        told.end(&error);
    }
}
