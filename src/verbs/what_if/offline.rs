//! `weir what-if` over files: a replay under the rules, with a what-if from the first epoch on.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;
use weir_detect::RuleBook;
use weir_ingest::{ReceiveClock, SystemClock};
use weir_manage::{members_first, read_path};
use weir_schema::{Control, EventTime, Format, RuleChange, TimeBounds, WhatIfId};
use weir_web::what_if_json;

use crate::exit::ExitError;
use crate::progress::ProgressReporter;
use crate::server::adapters::ReadFrames;
use crate::server::adapters::what_ifs::{RowTexts, info};
use crate::verbs::input;
use crate::verbs::replay::{Output, PrintOptions, Replay, ReplayOptions, ReplayRules, in_file};

/// The one what-if of such a replay.
const ID: WhatIfId = WhatIfId(1);

/// Rules, changes of them, and the files to try the changes over.
pub struct OfflineWhatIf {
    pub rules: Vec<PathBuf>,
    pub candidates: Vec<PathBuf>,
    pub remove: Vec<String>,
    pub files: Vec<PathBuf>,
    /// A configuration file, of which `[detection]` is used.
    pub config: Option<PathBuf>,
}

/// Replays the files. Returns the difference as the API has it.
pub fn replay_what_if(args: &OfflineWhatIf, quiet: bool) -> Result<Value> {
    if args.files.is_empty() {
        let message = "name files of events; without --rules and --candidate a server is asked";
        return Err(ExitError::Usage(message.to_owned()).into());
    }
    args.files
        .iter()
        .try_for_each(|file| input::check_exists(file))?;
    let mut rules = ReplayRules::read(&args.rules, args.config.as_deref())?;
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
    let mut diagnostics = book.apply(&what_if).diagnostics.into_iter();
    if let Some(refused) = diagnostics.find(|one| one.refused) {
        return Err(ExitError::BadData(in_file(refused).to_string()).into());
    }
    rules.controls.push(what_if);
    run(args, &rules, &book, quiet)
}

fn changes(args: &OfflineWhatIf, book: &RuleBook) -> Result<Vec<RuleChange>> {
    let mut changes = Vec::new();
    for rule in &args.remove {
        if !book.rules().iter().any(|known| *known.id == **rule) {
            return Err(ExitError::BadData(format!("no rule has the id {rule}")).into());
        }
        changes.push(RuleChange::Remove { rule: rule.clone() });
    }
    let mut documents = Vec::new();
    for path in &args.candidates {
        let read = read_path(path).map_err(|error| ExitError::Io(error.to_string()))?;
        documents.extend(read);
    }
    let documents = members_first(documents).into_iter();
    changes.extend(documents.map(|document| RuleChange::Put {
        text: document.text,
        origin: document.origin,
    }));
    Ok(changes)
}

fn run(args: &OfflineWhatIf, rules: &ReplayRules, book: &RuleBook, quiet: bool) -> Result<Value> {
    let options = ReplayOptions {
        files: args.files.clone(),
        format: Format::Auto,
        logsource: None,
        time_field: None,
        print: PrintOptions {
            output: Output::Alerts,
            only_final: true,
            evidence: false,
        },
        horizon: None,
        received: SystemClock.now(),
        epoch_events: 10_000,
        workers: 1,
    };
    let replay = Replay::start(
        "weir-what-if-",
        &options,
        rules,
        ProgressReporter::new(quiet),
    )?;
    let finished = replay.finish(&options.files)?;
    let what_ifs = finished.status.what_ifs();
    let what_if = book.what_ifs().get(&ID).cloned();
    let info = info(ID, what_ifs.report(ID), what_if.as_deref(), None);
    let texts = RowTexts {
        book,
        frames: &ReadFrames(finished.journal.clone()),
        bounds: &TimeBounds::default(),
    };
    let differing = what_ifs.alert_differences(ID).unwrap_or_default();
    let rows: Vec<_> = differing.iter().map(|one| texts.row(one)).collect();
    Ok(what_if_json(&info, &rows))
}
