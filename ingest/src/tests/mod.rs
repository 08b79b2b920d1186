//! Tests of the parts together, with a journal in memory.

mod memory;

mod commit;

mod tcp;

mod udp;

mod agent;

mod relp;

mod robust;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use weir_schema::{Batch, Format, ReceiveTime, Transport};

use crate::{
    Deliveries, IngestMetrics, IngestWriter, Intake, ReceiveClock, SourceTable, WriterOptions,
};
use memory::MemoryJournal;

/// A clock that stands still.
struct FixedClock;

impl ReceiveClock for FixedClock {
    fn now(&self) -> ReceiveTime {
        ReceiveTime(77)
    }
}

/// The parts that every source needs.
struct Parts {
    journal: MemoryJournal,
    intake: Intake,
    metrics: IngestMetrics,
    registry: Registry,
    sources: Arc<SourceTable>,
    clock: Arc<dyn ReceiveClock>,
}

/// Starts a writer on its own thread. Its tick is too slow to occur in a test.
fn start(mut options: WriterOptions) -> Parts {
    options.tick = Duration::from_secs(86_400);
    let journal = MemoryJournal::default();
    let registry = Registry::new();
    let metrics = IngestMetrics::register(&registry).unwrap();
    let clock: Arc<dyn ReceiveClock> = Arc::new(FixedClock);
    let intake = IngestWriter::start(
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
        registry,
        sources: Arc::default(),
        clock,
    }
}

impl Parts {
    /// Stops the writer and checks that every received event was journaled or refused with a reason.
    async fn end(&self) {
        self.intake.stop().await.unwrap();
        self.assert_balanced();
    }

    /// The value of a counter for a reason, summed over all transports.
    fn count(&self, name: &str, reason: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family
            .expect("the metric is registered")
            .get_metric()
            .iter();
        let of_reason = metrics.filter(|metric| {
            let mut labels = metric.get_label().iter();
            labels.any(|label| label.name() == "reason" && label.value() == reason)
        });
        of_reason
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }

    fn assert_balanced(&self) {
        let mut sums: BTreeMap<(String, String), [u64; 3]> = BTreeMap::new();
        let (mut by_transport, mut empty) = (0, 0);
        for family in self.registry.gather() {
            for metric in family.get_metric() {
                let label = |name: &str| {
                    let mut labels = metric.get_label().iter();
                    let found = labels.find(|label| label.name() == name);
                    found.map_or_else(String::new, |label| label.value().to_owned())
                };
                let count = metric.get_counter().get_value() as u64;
                let place = match family.name() {
                    "weir_source_received_total" => 0,
                    "weir_source_journaled_total" => 1,
                    "weir_source_refused_total" => 2,
                    "weir_events_received_total" => {
                        by_transport += count;
                        continue;
                    }
                    "weir_events_dropped_total" if label("reason") == "empty" => {
                        empty += count;
                        continue;
                    }
                    _ => continue,
                };
                sums.entry((label("tenant"), label("source"))).or_default()[place] += count;
            }
        }
        for (source, [received, journaled, refused]) in &sums {
            assert_eq!(*received, journaled + refused, "{source:?}");
        }
        let all = |place: usize| sums.values().map(|row| row[place]).sum::<u64>();
        assert_eq!(by_transport, all(0) + empty, "transports and sources");
        assert_eq!(
            all(1),
            self.journal.frames().len() as u64,
            "counter and journal"
        );
    }
}

fn loopback() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

/// Runs the other tasks until `done`.
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
        frames: frames.iter().collect(),
    }
}
