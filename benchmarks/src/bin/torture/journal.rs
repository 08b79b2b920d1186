//! Reads the journal of a stopped server, to count what it holds of the acknowledged lines.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use weir_store::{Journal, JournalOptions};

use crate::lines;

/// The numbers of all counted lines in the journal.
pub fn counted(data: &Path) -> Result<BTreeSet<u64>> {
    let (writer, _) = Journal::open(&data.join("journal"), JournalOptions::default())
        .context("could not open the journal")?;
    let mut numbers = BTreeSet::new();
    for batch in writer.reader().batches() {
        let (_, batch) = batch.context("could not read the journal")?;
        numbers.extend(batch.frames.iter().filter_map(lines::number));
    }
    Ok(numbers)
}
