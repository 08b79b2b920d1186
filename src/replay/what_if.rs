//! `weir what-if` over files: a replay under the rules, with a what-if beside them from the start.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_detect::RuleBook;
use weir_ingest::{Clock, SystemClock};
use weir_schema::{Control, EventTime, Format, RuleChange, TimeBounds, WhatIfId};
use weir_store::journal::{Journal, JournalOptions};
use weir_web::what_if_json;

use super::feed::{Feed, Reading};
use super::print::{Output, Told, Wanted};
use super::{InputFormat, Received, ReplayArgs, Rules, begin, read_all, remove_at_signal, start};
use crate::adapters::ReadFrames;
use crate::cli::Failure;
use crate::progress::Progress;
use crate::rule_desk;
use crate::rules::what_if::{info, row};

/// The one what-if of such a replay.
const ID: WhatIfId = WhatIfId(1);

/// What to try, beside what, over which files.
pub struct OfflineArgs {
    pub rules: Vec<PathBuf>,
    pub candidates: Vec<PathBuf>,
    pub remove: Vec<String>,
    pub files: Vec<PathBuf>,
}

/// Replays the files, and returns the difference as the API has it.
pub fn offline(args: &OfflineArgs, quiet: bool) -> Result<Value> {
    if args.files.is_empty() {
        let told = "name files of events; without --rules and --candidate a server is asked";
        return Err(Failure::Usage(told.to_owned()).into());
    }
    let replay = ReplayArgs {
        rules: args.rules.clone(),
        placeholders: None,
        format: InputFormat::Auto,
        logsource: None,
        time_field: None,
        output: Output::Alerts,
        only_final: true,
        evidence: false,
        horizon: None,
        received: Received::Now,
        epoch_events: 10_000,
        workers: 1,
        files: args.files.clone(),
    };
    args.files
        .iter()
        .try_for_each(|file| super::input::check(file))?;
    let mut rules = Rules::read(&args.rules, None)?;
    let mut book = RuleBook::new();
    for control in &rules.controls {
        book.apply(control);
    }
    let what_if = Control::WhatIfPut {
        id: ID,
        changes: changes(args, &book)?,
        since: EventTime::MIN,
        from_journal: true,
    };
    let refused = book.apply(&what_if).diagnostics.into_iter();
    if let Some(said) = refused.into_iter().find(|said| said.refused) {
        return Err(Failure::BadData(super::placed(said).to_string()).into());
    }
    rules.controls.push(what_if);
    run(&replay, &rules, &book, quiet)
}

fn changes(args: &OfflineArgs, book: &RuleBook) -> Result<Vec<RuleChange>> {
    let mut changes = Vec::new();
    for rule in &args.remove {
        if !book.rules().iter().any(|known| *known.id == **rule) {
            return Err(Failure::BadData(format!("no rule has the id {rule}")).into());
        }
        changes.push(RuleChange::Remove { rule: rule.clone() });
    }
    let mut documents = Vec::new();
    for path in &args.candidates {
        documents.extend(rule_desk::read(path).map_err(Failure::Io)?);
    }
    let documents = rule_desk::members_first(documents).into_iter();
    changes.extend(documents.map(|document| RuleChange::Put {
        text: document.text,
        origin: document.origin,
    }));
    Ok(changes)
}

fn run(args: &ReplayArgs, rules: &Rules, book: &RuleBook, quiet: bool) -> Result<Value> {
    let folder = tempfile::Builder::new().prefix("weir-what-if-").tempdir();
    let folder = folder.context("cannot make a temporary folder for the journal")?;
    remove_at_signal(folder.path().to_owned())?;
    let options = JournalOptions {
        fsync: false,
        ..JournalOptions::default()
    };
    let (mut writer, _) = Journal::open(&folder.path().join("journal"), options)?;
    let received = SystemClock.now();
    begin(&mut writer, None, received, &rules.controls)?;
    let frames = ReadFrames(writer.reader());
    let told = Arc::new(Told::default());
    let wanted = Wanted {
        output: Output::Alerts,
        only_final: true,
        evidence: false,
    };
    let host = start(args, &writer, &told, wanted, &rules.titles)?;
    let status = host.status();
    let reading = Reading {
        format: Format::Auto,
        logsource: None,
        received,
        epoch_events: args.epoch_events as usize,
        keep_lines: false,
    };
    let progress = Progress::new(quiet);
    let feed = Feed::new(
        writer,
        Arc::clone(&status),
        Arc::clone(&told),
        reading,
        progress,
    );
    let fed = read_all(feed, &args.files);
    let stopped = host.stop();
    fed?;
    told.failure()?;
    stopped.context("the graph stopped")?;
    let report = status.what_ifs().report(ID);
    let known = book.what_ifs().get(&ID).cloned();
    let found = info(ID, report, known.as_deref(), None);
    let all = status.what_ifs().differing(ID).unwrap_or_default();
    let bounds = TimeBounds::default();
    let rows: Vec<_> = all
        .iter()
        .map(|one| row(one, (book, &frames, &bounds)))
        .collect();
    Ok(what_if_json(&found, &rows))
}
