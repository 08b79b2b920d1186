//! Tests of the parts together, over a journal in memory.

mod memory;

mod commit;

mod tcp;

mod udp;

mod agent;

use std::sync::Arc;
use std::time::Duration;

use serde_bytes::ByteBuf;
use weir_schema::{Batch, Format, ReceiveTime, Transport};

use crate::{Clock, Deliveries, IngestMetrics, Intake, JournalWriter, SourceTable, WriterOptions};
use memory::MemoryJournal;

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> ReceiveTime {
        ReceiveTime(77)
    }
}

/// What every source needs.
struct Parts {
    journal: MemoryJournal,
    intake: Intake,
    metrics: IngestMetrics,
    sources: Arc<SourceTable>,
    clock: Arc<dyn Clock>,
}

/// Starts a writer on its own thread, ticking so seldom that no test sees it.
fn start(mut options: WriterOptions) -> Parts {
    options.tick = Duration::from_secs(86_400);
    let journal = MemoryJournal::default();
    let metrics = IngestMetrics::register(&prometheus::Registry::new()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let intake = JournalWriter::start(
        journal.clone(),
        options,
        metrics.clone(),
        Deliveries::new(),
        Arc::clone(&clock),
    );
    Parts {
        journal,
        intake: intake.unwrap(),
        metrics,
        sources: Arc::default(),
        clock,
    }
}

fn loopback() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

/// Lets the other tasks go on until `done`.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

fn batch(frames: &[&str]) -> Batch {
    Batch {
        tenant: "default".into(),
        source: "s".into(),
        transport: Transport::File,
        format: Format::Syslog,
        peer: None,
        zone: None,
        logsource: None,
        received: ReceiveTime(0),
        delivery: None,
        frames: frames.iter().map(|f| ByteBuf::from(f.as_bytes())).collect(),
    }
}
