//! Tests of the journal. This file holds the helpers that they share.

mod damage;
mod errors;
mod reachable;
mod reading;

use weir_schema::{Batch, Control, Entry, Epoch, Format, ReceiveTime, Transport};

use super::*;

/// A small random generator; its seed repeats a failure.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn batch(random: &mut Random, frames: usize) -> Entry {
    let mut frame = || {
        let words: Vec<_> = (0..6).map(|_| format!("{:x}", random.next())).collect();
        words.join(" ")
    };
    Entry::from(Batch {
        tenant: "default".into(),
        source: "test".into(),
        transport: Transport::Tcp,
        format: Format::Syslog,
        peer: Some("192.0.2.1:514".into()),
        zone: None,
        logsource: None,
        received: ReceiveTime(7),
        delivery: None,
        frames: (0..frames).map(|_| frame()).collect(),
    })
}

fn options(segment_bytes: u64) -> JournalOptions {
    JournalOptions {
        segment_bytes,
        fsync: false,
        // Makes all reads go to the disk.
        recent_bytes: 0,
        metrics: None,
    }
}

/// Appends and syncs `groups` groups: some batches each, a tick in every third, a seal in every
/// second.
fn fill(writer: &mut JournalWriter, random: &mut Random, groups: usize) -> Vec<Entry> {
    let mut written = Vec::new();
    for group in 0..groups {
        let mut entries: Vec<_> = (0..1 + random.below(4)).map(|_| batch(random, 3)).collect();
        if group % 3 == 0 {
            let received = ReceiveTime(group as i64);
            entries.push(Entry::Control(Control::Tick { received }));
        }
        if group % 2 == 1 {
            let epoch = writer.next_epoch();
            entries.push(Entry::Seal { epoch });
        }
        for entry in &entries {
            writer.append(entry).unwrap();
        }
        writer.sync().unwrap();
        written.extend(entries);
    }
    written
}

fn entries(reader: &JournalReader) -> Vec<Entry> {
    reader.entries().map(Result::unwrap).collect()
}
