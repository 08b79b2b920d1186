//! The topology, on one page: every part in flow order, with what may wait in front of it.
//!
//! ```text
//!  syslog UDP ──[drops past the writer's room]──┐
//!  syslog TCP ──[8 batches a connection]────────┤  2,048 submissions, 64 MiB
//!  agents ──────[8 batches a connection]────────┼══════════════════════════► journal writer ─► journal
//!  HTTP ────────[8 bodies]──────────────────────┘                                              │
//!                                                                                      epochs from disk
//!  SSE, API ◄── ledger ◄── committer ◄──[8 epochs]── timely workers ◄──[8 epochs]── feeder ◄───┘
//! ```
//!
//! What waits is bounded everywhere. Between journal and graph the disk is the queue: a slow graph
//! delays alerts, never acknowledgements.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use anyhow::{Context, Result};
use prometheus::Registry;
use tokio::sync::watch;
use weir_dataflow::{Emit, Host, HostOptions, Status};
use weir_ingest::{
    AgentOptions, AgentSource, Clock, CommitOptions, Deliveries, IngestMetrics, Intake,
    JournalWriter, SourceHandle, SystemClock, TcpOptions, TcpSource, UdpOptions, UdpSource,
    WriterOptions,
};
use weir_schema::{Control, Entry, Epoch, EventTime};
use weir_store::StoreMetrics;
use weir_store::journal::{Journal, JournalOptions, JournalReader};
use weir_store::ledger::{self, Ledger};
use weir_web::{Ports, Token, WebHandle, WebOptions};

use crate::adapters::{
    Bell, HttpIntake, ReadAlerts, ReadEpochs, ReadFrames, Readiness, WriteJournal, WriteLedger,
};
use crate::config::Config;
use crate::explain::Explainer;
use crate::metrics::GraphMetrics;
use crate::observe::{Ear, Printer};
use crate::rule_desk::{self, Document, ManageRules, RuleDesk};
use crate::token;

/// How often the ledger is made durable. What a crash loses of it is derived again from the journal.
const LEDGER_SYNC: Duration = Duration::from_secs(5);

/// A ledger is checked in a process of its own, since its engine may panic on damage.
pub const LEDGER_CHECK_LIMIT: Duration = Duration::from_secs(60);

/// Where a running server is reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub udp: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    pub agent: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
}

/// A running server.
pub struct Server {
    pub addresses: Addresses,
    pub token: String,
    pub status: Arc<Status>,
    pub ledger: Arc<Ledger>,
    pub journal: JournalReader,
    sources: Vec<SourceHandle>,
    web: Option<WebHandle>,
    intake: Intake,
    host: Host,
    bell: Arc<watch::Sender<u64>>,
}

/// Starts everything, in flow order. Needs an actix system.
pub async fn start(
    config: &Config,
    rules: Vec<Document>,
    printer: Option<Printer>,
) -> Result<Server> {
    let dir = config.data_dir.clone();
    let dir = dir.unwrap_or_else(|| PathBuf::from("weir-data"));
    let token = token::load_or_create(&dir)?;
    let registry = Registry::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bounds = config.bounds();

    // The journal, and what it says of rules and deliveries.
    let store_metrics = StoreMetrics::register(&registry)?;
    let journal_options = JournalOptions {
        segment_bytes: config.journal.segment_mib << 20,
        fsync: config.journal.fsync,
        metrics: Some(store_metrics.clone()),
    };
    let (mut writer, report) = Journal::open(&dir.join("journal"), journal_options)?;
    tell(&report);
    let journal = writer.reader();
    let desk = Arc::new(RuleDesk::default());
    let mut deliveries = Deliveries::new();
    for entry in journal.entries() {
        match entry.context("cannot read the journal")? {
            Entry::Batch(batch) => deliveries.observe(&batch),
            Entry::Control(control) => drop(desk.follow(&control)),
            Entry::Seal { .. } => {}
        }
    }
    let first_start = report.last_sealed == Epoch(0) && report.unsealed_entries == 0;
    begin(
        &mut writer,
        &desk,
        &rules,
        first_start,
        &bounds,
        clock.now(),
    )?;
    let begun = journal.last_sealed();
    let ingest_metrics = IngestMetrics::register(&registry)?;
    let options = WriterOptions {
        commit: CommitOptions {
            commit_delay: config.journal.commit_delay.std(),
            epoch_events_max: config.journal.epoch_events_max,
            epoch_delay: config.journal.epoch_delay.std(),
            ..CommitOptions::default()
        },
        ..WriterOptions::default()
    };
    let port = WriteJournal(writer);
    let writer_clock = Arc::clone(&clock);
    let intake = JournalWriter::start(
        port,
        options,
        ingest_metrics.clone(),
        deliveries,
        writer_clock,
    )?;

    // The graph, which replays the journal and then follows it.
    let ledger = open_ledger(&dir.join("ledger"), &store_metrics, report.last_sealed)?;
    let ledger = Arc::new(ledger);
    let frames = Arc::new(ReadFrames(journal.clone()));
    let bell = Arc::new(watch::Sender::new(0));
    let ear = Ear {
        metrics: GraphMetrics::register(&registry)?,
        frames: frames.clone(),
        clock: Arc::clone(&clock),
        bell: Arc::clone(&bell),
        printer,
    };
    let host = Host::start(
        HostOptions {
            workers: config.graph.workers,
            emit: Emit::default(),
        },
        Box::new(ReadEpochs(journal.cursor(Epoch(1)))),
        frames,
        Box::new(WriteLedger(Arc::clone(&ledger))),
        Box::new(ear),
    )?;
    let status = host.status();
    keep_ledger_durable(&ledger, &store_metrics);
    if !first_start {
        let (intake, desk, status) = (intake.clone(), Arc::clone(&desk), Arc::clone(&status));
        actix_rt::spawn(async move { update_rules(intake, desk, status, begun, rules).await });
    }

    // The doors: syslog, agents, HTTP.
    let sources_known = Arc::new(config.sources());
    let arbiter = Arbiter::new().handle();
    let mut sources = Vec::new();
    let mut addresses = Addresses {
        udp: None,
        tcp: None,
        agent: None,
        http: None,
    };
    if let Some(at) = config.listen.syslog_tcp.0 {
        let source = TcpSource::start(
            &arbiter,
            listen(at, "listen.syslog_tcp")?,
            TcpOptions::default(),
            intake.clone(),
            Arc::clone(&sources_known),
            Arc::clone(&clock),
            ingest_metrics.clone(),
        )?;
        addresses.tcp = Some(source.local_address);
        sources.push(source);
    }
    if let Some(at) = config.listen.syslog_udp.0 {
        let socket = UdpSocket::bind(at);
        let socket = socket.with_context(|| cannot_listen(at, "listen.syslog_udp"))?;
        let source = UdpSource::start(
            &arbiter,
            socket,
            UdpOptions::default(),
            intake.clone(),
            Arc::clone(&sources_known),
            Arc::clone(&clock),
            ingest_metrics.clone(),
        )?;
        addresses.udp = Some(source.local_address);
        sources.push(source);
    }
    if let Some(at) = config.listen.agent.0 {
        let expected = token.clone();
        let source = AgentSource::start(
            &arbiter,
            listen(at, "listen.agent")?,
            AgentOptions::default(),
            Arc::new(move |_agent, got| weir_ingest::tokens_equal(&expected, got)),
            intake.clone(),
            sources_known,
            Arc::clone(&clock),
            ingest_metrics,
        )?;
        addresses.agent = Some(source.local_address);
        sources.push(source);
    }
    let mut web = None;
    if let Some(at) = config.listen.http.0 {
        let listener = listen(at, "listen.http")?;
        addresses.http = Some(listener.local_addr()?);
        let explainer = Arc::new(Explainer {
            journal: journal.clone(),
            rules: Arc::clone(&desk),
            bounds,
        });
        let ports = Ports {
            alerts: Arc::new(ReadAlerts {
                ledger: Arc::clone(&ledger),
                explainer,
            }),
            feed: Arc::new(Bell(Arc::clone(&bell))),
            intake: Arc::new(HttpIntake(intake.clone())),
            rules: Arc::new(ManageRules {
                desk,
                intake: intake.clone(),
                status: Arc::clone(&status),
                runtime: tokio::runtime::Handle::current(),
            }),
            health: Arc::new(Readiness {
                status: Arc::clone(&status),
                caught_up_at: begun,
            }),
            registry,
        };
        let (server, handle) =
            weir_web::serve(listener, ports, WebOptions::new(Token::of(&token)))?;
        actix_rt::spawn(server);
        web = Some(handle);
    }
    Ok(Server {
        addresses,
        token,
        status,
        ledger,
        journal,
        sources,
        web,
        intake,
        host,
        bell,
    })
}

impl Server {
    /// Stops in flow order: doors, journal, graph, streams. What was accepted is journaled and judged.
    pub async fn stop(self) -> Result<()> {
        for source in &self.sources {
            source.stop().await;
        }
        let journaled = self.intake.stop().await;
        let last = self.journal.last_sealed();
        let status = Arc::clone(&self.status);
        let caught_up = move || status.wait_for(last, Duration::from_secs(10));
        let _ = actix_rt::task::spawn_blocking(caught_up).await;
        let host = self.host;
        let stopped = actix_rt::task::spawn_blocking(move || host.stop()).await;
        let synced = self.ledger.sync();
        drop(self.bell);
        if let Some(web) = &self.web {
            web.stop().await;
        }
        journaled.context("the last events could not be journaled")?;
        stopped.context("the graph did not stop")??;
        synced.context("the ledger could not be synced")
    }
}

/// Seals what an abrupt end left open, and opens this run: what bears on results, and the first rules.
fn begin(
    writer: &mut weir_store::journal::JournalWriter,
    desk: &RuleDesk,
    rules: &[Document],
    first_start: bool,
    bounds: &weir_schema::TimeBounds,
    received: weir_schema::ReceiveTime,
) -> Result<()> {
    if writer.unsealed_entries() > 0 {
        let epoch = writer.next_epoch();
        writer.append(&Entry::Seal { epoch })?;
    }
    writer.append(&Entry::Control(Control::Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bounds: *bounds,
        received,
    }))?;
    if first_start {
        let (controls, diagnostics) = desk.changes(rules, EventTime::MIN, EventTime::MAX);
        for diagnostic in diagnostics {
            tracing::warn!(%diagnostic, "a rule was refused or warned of");
        }
        for control in controls {
            desk.follow(&control);
            writer.append(&Entry::Control(control))?;
        }
    }
    let epoch = writer.next_epoch();
    writer.append(&Entry::Seal { epoch })?;
    writer.sync().context("cannot write the journal")?;
    Ok(())
}

/// Once the graph knows the watermark again, puts rules that have changed since the last start.
async fn update_rules(
    intake: Intake,
    desk: Arc<RuleDesk>,
    status: Arc<Status>,
    begun: Epoch,
    rules: Vec<Document>,
) {
    let waiting = Arc::clone(&status);
    let wait =
        move || while !waiting.wait_for(begun, Duration::from_secs(1)) && !waiting.failed() {};
    let _ = actix_rt::task::spawn_blocking(wait).await;
    let (since, until) = (rule_desk::since_now(&status), rule_desk::until_now(&status));
    let (controls, diagnostics) = desk.changes(&rules, since, until);
    for diagnostic in diagnostics {
        tracing::warn!(%diagnostic, "a rule was refused or warned of");
    }
    if controls.is_empty() {
        return;
    }
    match intake.control(controls.clone()).await {
        Ok(_) => controls
            .iter()
            .for_each(|control| drop(desk.follow(control))),
        Err(error) => tracing::error!(%error, "changed rules could not be journaled"),
    }
}

fn tell(report: &weir_store::journal::OpenReport) {
    for torn in &report.torn {
        tracing::warn!(
            ?torn,
            "an unfinished write at the end of the journal was cut off"
        );
    }
    for damage in &report.damage {
        tracing::error!(
            ?damage,
            "the journal is damaged; a copy is in its quarantine folder"
        );
    }
}

/// Opens the ledger; one that does not hold is set aside, and rebuilt from the journal. So is one
/// that has applied epochs after `sealed`, the last that the journal held when it was opened: their
/// numbers will be given again, to other events.
fn open_ledger(dir: &Path, metrics: &StoreMetrics, sealed: Epoch) -> Result<Ledger> {
    let checked = ledger::check_in_child(ledger_check(dir)?, LEDGER_CHECK_LIMIT)?;
    if let Err(reason) = checked {
        // The journal's lock is ours, so no other server can be what the check ran into.
        let aside = set_aside(dir, metrics)?;
        tracing::error!(%reason, %aside, "the ledger is damaged; rebuilding it");
        return Ok(Ledger::open(dir)?);
    }
    let ledger = Ledger::open(dir)?;
    let applied = ledger.applied();
    if applied <= sealed {
        return Ok(ledger);
    }
    drop(ledger);
    let aside = set_aside(dir, metrics)?;
    let (applied, sealed) = (applied.0, sealed.0);
    tracing::error!(
        applied, sealed, %aside,
        "the ledger knows epochs that the journal has lost; rebuilding it"
    );
    Ok(Ledger::open(dir)?)
}

/// The command that checks a ledger in a process of its own.
pub fn ledger_check(dir: &Path) -> std::io::Result<std::process::Command> {
    let mut check = std::process::Command::new(std::env::current_exe()?);
    check.arg("check-ledger").arg(dir);
    Ok(check)
}

/// Puts a ledger out of the way, and tells where it is now.
fn set_aside(dir: &Path, metrics: &StoreMetrics) -> std::io::Result<String> {
    let stamp = SystemClock.now().0 / 1_000_000_000;
    let aside = ledger::set_aside(dir, &stamp.to_string())?;
    metrics.state_rebuilds_total.inc();
    Ok(aside.display().to_string())
}

fn keep_ledger_durable(ledger: &Arc<Ledger>, metrics: &StoreMetrics) {
    let (ledger, metrics) = (Arc::downgrade(ledger), metrics.clone());
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(LEDGER_SYNC).await;
            let Some(ledger) = ledger.upgrade() else {
                return;
            };
            let metrics = metrics.clone();
            let sync = move || {
                if let Err(error) = ledger.sync() {
                    tracing::error!(%error, "the ledger could not be synced");
                }
                if let Ok(bytes) = ledger.size_bytes() {
                    metrics
                        .state_bytes
                        .set(i64::try_from(bytes).unwrap_or(i64::MAX));
                }
            };
            let _ = actix_rt::task::spawn_blocking(sync).await;
        }
    });
}

fn listen(at: SocketAddr, key: &str) -> Result<TcpListener> {
    TcpListener::bind(at).with_context(|| cannot_listen(at, key))
}

fn cannot_listen(at: SocketAddr, key: &str) -> String {
    format!("cannot listen on {at}; choose another address for {key}, or `off`")
}
