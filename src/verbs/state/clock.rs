//! `weir state clock`: shows the jumps of the clock in a journal, and repairs a wrong stretch.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weir_ingest::{ReceiveClock, SystemClock};
use weir_schema::{ClockRepair, Control, Entry, ReceiveTime, Span};
use weir_store::journal::{Journal, JournalError, JournalOptions, JournalWriter};

use super::stretches::{ClockStretch, StretchFinder};
use crate::config::HumanDuration;
use crate::console::outln;
use crate::exit::ExitError;
use crate::server::clock::{describe, span_text, time_text};
use crate::server::cluster::recorded_place;
use crate::verbs::overrides::ServerDefaults;

/// Show the receive times and jumps of the clock in a journal; repair those of a wrong stretch.
///
/// Needs a folder on which no server runs. A repair is an entry of the journal: the next start reads
/// the journal with the repaired times, and tells alerts that differ once.
#[derive(Debug, clap::Args)]
pub struct ClockArgs {
    /// Folder of journal and ledger [default: `data_dir` of the configuration, weir-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Shift the receive times of --stretch by --by. The clock must be right now.
    #[arg(long, requires = "stretch", requires = "by")]
    repair: bool,
    /// The wrong stretch, by its number in the list.
    #[arg(long, value_name = "N", requires = "repair")]
    stretch: Option<usize>,
    /// The length of time to add to its receive times, such as `-2d` for a clock that was two days ahead.
    #[arg(
        long,
        value_name = "SPAN",
        requires = "repair",
        value_parser = signed_span,
        allow_hyphen_values = true
    )]
    by: Option<Span>,
}

/// Shows the stretches, and journals the repair of one.
pub fn clock(args: &ClockArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let data_dir = args.data_dir.as_ref().unwrap_or(&defaults.data_dir);
    let mut writer = open_journal(data_dir)?;
    let mut finder = StretchFinder::default();
    for entry in writer.reader().entries() {
        finder.follow(&entry.context("cannot read the journal")?);
    }
    let now = SystemClock.now();
    match (args.repair, args.stretch, args.by) {
        (true, Some(number), Some(by)) => repair(&mut writer, &finder, number, by, now)?,
        _ => show(&finder, now),
    }
    Ok(ExitCode::SUCCESS)
}

fn open_journal(data_dir: &Path) -> Result<JournalWriter> {
    let folder = data_dir.join("journal");
    let dir = data_dir.display();
    if !folder.is_dir() {
        let message = format!("{dir} holds no journal; name a data folder with --data-dir");
        return Err(ExitError::Usage(message).into());
    }
    if recorded_place(data_dir)?.is_some() {
        let message = format!("{dir} is of a cluster, where the clock cannot be repaired");
        return Err(ExitError::Usage(message).into());
    }
    match Journal::open(&folder, JournalOptions::default()) {
        Ok((writer, _)) => Ok(writer),
        Err(JournalError::InUse { .. }) => bail!(
            "a server runs on {dir}; stop it first. While it runs, its log, the alert \
             weir.self.clock-jumped and weir_clock_jumps_total tell of jumps"
        ),
        Err(error) => Err(error.into()),
    }
}

fn show(finder: &StretchFinder, now: ReceiveTime) {
    outln!("clock: {} now", time_text(now));
    for (epoch, jump) in &finder.jumps {
        outln!("epoch {}: {}", epoch.0, describe(jump));
    }
    for (number, stretch) in (1..).zip(&finder.stretches) {
        outln!("{}", stretch_text(number, stretch));
    }
    for (epoch, repair) in finder.repairs.all() {
        outln!(
            "epoch {}: repair {} shifts the receive times of epochs {} to {} by {}",
            epoch.0,
            repair.number,
            repair.from.0,
            repair.to.0,
            span_text(repair.shift)
        );
    }
    let last = finder.stretches.iter().rev().find_map(|one| one.last);
    if let Some(last) = last.filter(|last| now < *last) {
        outln!(
            "the last receive time {} is after the clock's present time: one of them is wrong",
            time_text(last)
        );
    }
}

fn stretch_text(number: usize, stretch: &ClockStretch) -> String {
    let time = |time: Option<ReceiveTime>| time.map_or_else(|| "-".to_owned(), time_text);
    let jumped = match stretch.jumped {
        Some(size) => format!(
            ", begins {} from the end of the one before",
            span_text(size)
        ),
        None => String::new(),
    };
    format!(
        "stretch {number}: epochs {} to {}, {} events, received {} to {}{jumped}",
        stretch.from.0,
        stretch.to.0,
        stretch.events,
        time(stretch.first),
        time(stretch.last),
    )
}

fn repair(
    writer: &mut JournalWriter,
    finder: &StretchFinder,
    number: usize,
    by: Span,
    now: ReceiveTime,
) -> Result<()> {
    let found = number
        .checked_sub(1)
        .and_then(|at| finder.stretches.get(at));
    let Some(stretch) = found else {
        let all = finder.stretches.len();
        let message = format!("there is no stretch {number}; the journal has {all}");
        return Err(ExitError::Usage(message).into());
    };
    if by == Span::ZERO {
        return Err(ExitError::Usage("--by must not be zero".to_owned()).into());
    }
    let repair = ClockRepair {
        number: finder.repairs.len() + 1,
        from: stretch.from,
        to: stretch.to,
        batches_from: stretch.batches_from,
        batches_to: stretch.batches_to,
        shift: by,
        received: now,
    };
    if writer.unsealed_entries() > 0 {
        writer.seal()?;
    }
    writer.append(&Entry::Control(Control::ClockRepair(repair)))?;
    let epoch = writer.seal()?;
    writer.sync().context("cannot write the journal")?;
    let events: u64 = finder.stretches.iter().map(|one| one.events).sum();
    outln!("{}", stretch_text(number, stretch));
    outln!(
        "epoch {}: repair {} shifts these receive times by {}; the next start reads all {events} \
         events anew, and tells alerts that differ with the cause clock_repair",
        epoch.0,
        repair.number,
        span_text(by)
    );
    Ok(())
}

/// Reads a length of time with a sign.
fn signed_span(text: &str) -> Result<Span, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let span: HumanDuration = rest.parse()?;
    Ok(Span(span.0.0 * sign))
}
