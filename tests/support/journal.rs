//! Reads the journal of a server that has ended.

use std::path::Path;
use std::sync::Arc;

use weir_schema::{Batch, BatchSeq, Transport};
use weir_store::journal::{Journal, JournalOptions, JournalReader};

/// Opens the journal and fails if it is damaged.
pub fn open(data: &Path) -> JournalReader {
    let options = JournalOptions {
        fsync: false,
        ..JournalOptions::default()
    };
    let (writer, report) = Journal::open(&data.join("journal"), options).expect("it can be read");
    assert!(report.damage.is_empty(), "{report:?}");
    writer.reader()
}

/// All batches of the journal, in order.
pub fn batches(data: &Path) -> Vec<(BatchSeq, Arc<Batch>)> {
    let batches = open(data).batches();
    batches
        .map(|batch| batch.expect("it can be read"))
        .collect()
}

/// All frames of one transport, in order.
pub fn frames(data: &Path, transport: Transport) -> Vec<Vec<u8>> {
    let batches = batches(data).into_iter();
    let batches = batches.filter(|(_, batch)| batch.transport == transport);
    batches
        .flat_map(|(_, batch)| {
            let frames = batch.frames.iter().map(<[u8]>::to_vec);
            frames.collect::<Vec<_>>()
        })
        .collect()
}
