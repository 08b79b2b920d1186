//! The topology, on one page: every part in flow order, with what may wait in front of it.
//!
//! ```text
//!  syslog UDP ──[drops past the writer's room]──┐
//!  TCP, TLS, RELP ──[4,000 lines a connection]──┤  2,048 submissions, 64 MiB
//!  agents ──────[8 batches a connection]────────┼══════════════════════════► journal writer ─► journal
//!  HTTP ────────[8 bodies]──────────────────────┘                                              │
//!                                                                                      epochs from disk
//!  SSE, API ◄── ledger ◄── committer ◄──[8 epochs]── timely workers ◄──[8 epochs]── feeder ◄───┘
//! ```
//!
//! What waits is bounded everywhere. Between journal and graph the disk is the queue: a slow graph
//! delays alerts, never acknowledgements.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use anyhow::{Context, Result};
use prometheus::Registry;
use tokio::sync::watch;
use weir_dataflow::{Emit, Frames, Host, HostOptions, Status};
use weir_ingest::{
    Clock, CommitOptions, IngestMetrics, Intake, JournalWriter, SourceHandle, SystemClock,
    WriterOptions,
};
use weir_schema::Epoch;
use weir_store::StoreMetrics;
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;
use weir_web::{Ports, WebHandle};

use crate::adapters::{
    Bell, HttpIntake, ReadAlerts, ReadEpochs, ReadFrames, Readiness, WriteJournal, WriteLedger,
};
use crate::cluster::{Elsewhere, PaceOf};
use crate::config::Config;
use crate::doors::{self, Doors};
use crate::explain::Explainer;
use crate::metrics::GraphMetrics;
use crate::observe::{Ear, Printer};
use crate::responders::{self, ManageSinks};
use crate::rule_desk::Document;
use crate::rules::manage::ManageRules;
use crate::rules::watch::Watch;
use crate::tap::live::LiveTaps;
use crate::{cluster, opening, token};

/// Where a running server is reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub udp: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    pub tls: Option<SocketAddr>,
    pub relp: Option<SocketAddr>,
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
    responders: Arc<weir_respond::Responders>,
}

/// Starts everything, in flow order. Needs an actix system.
pub async fn start(
    config: &Config,
    rules: Vec<Document>,
    printer: Option<Printer>,
) -> Result<Server> {
    let dir = config.data_dir.clone();
    let dir = dir.unwrap_or_else(|| PathBuf::from("weir-data"));
    let tls = doors::tls(config)?;
    let token = token::load_or_create(&dir)?;
    let registry = Registry::new();
    let store_metrics = StoreMetrics::register(&registry)?;
    let ingest_metrics = IngestMetrics::register(&registry)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);

    for source in &config.source {
        ingest_metrics
            .balance()
            .expect(&source.tenant, &source.name);
    }

    // The journal: one writer, which all sources submit to.
    let found = opening::find_journal(&dir, config, &store_metrics)?;
    let mut member = cluster::join(config, &dir, found.last_sealed())?;
    let opened = found.begin(config, &rules, member.as_ref(), clock.now())?;
    let journal = opened.writer.reader();
    let intake = JournalWriter::start(
        WriteJournal(opened.writer),
        writer_options(config),
        ingest_metrics.clone(),
        opened.deliveries,
        Arc::clone(&clock),
    )?;

    // The graph, which replays the journal and then follows it, into the ledger.
    let ledger = opening::open_ledger(&dir.join("ledger"), &store_metrics, opened.last_sealed)?;
    let ledger = Arc::new(ledger);
    let frames: Arc<dyn Frames> = Arc::new(ReadFrames(journal.clone()));
    let frames = match &mut member {
        Some(member) => member.frames(frames)?,
        None => frames,
    };
    let bell = Arc::new(watch::Sender::new(0));
    let ear = Ear {
        metrics: GraphMetrics::register(&registry)?,
        frames: Arc::clone(&frames),
        clock: Arc::clone(&clock),
        bell: Arc::clone(&bell),
        printer,
        balance: ingest_metrics.balance().clone(),
        begun: opened.begun,
        clocks: std::collections::BTreeMap::new(),
        desk: Arc::clone(&opened.desk),
    };
    let options = HostOptions {
        workers: config.graph.workers,
        emit: Emit::default(),
    };
    let source = Box::new(ReadEpochs(journal.cursor(Epoch(1))));
    let commits = Box::new(WriteLedger(Arc::clone(&ledger)));
    let host = match member {
        Some(member) => {
            let pace = Arc::new(PaceOf(journal.clone()));
            Host::start_in(
                member,
                options,
                (source, pace),
                Arc::clone(&frames),
                commits,
                Box::new(ear),
            )
        }
        None => Host::start(options, source, Arc::clone(&frames), commits, Box::new(ear)),
    }?;
    let status = host.status();
    crate::trial_metrics::Trials::register(&registry, Arc::clone(&status))?;

    // The sinks, which follow the ledger.
    let links = responders::Links {
        ledger: &ledger,
        intake: &intake,
        desk: &opened.desk,
        status: &status,
        begun: opened.begun,
        news: bell.subscribe(),
        registry: &registry,
    };
    let responders = responders::start(config, opened.positions, &links)?;
    opening::keep_durable(&ledger, &store_metrics);
    opening::tell_replay(&status, opened.begun);
    let watch = Watch {
        intake: intake.clone(),
        desk: Arc::clone(&opened.desk),
        status: Arc::clone(&status),
        begun: opened.begun,
        first: rules,
        paths: config.rules.paths.clone(),
    };
    if !config.cluster.follows() {
        actix_rt::spawn(crate::rules::watch::watch(watch));
    }

    if !config.cluster.is_on() {
        actix_rt::spawn(crate::past::hurry(
            Arc::clone(&status),
            journal.clone(),
            intake.clone(),
            Arc::clone(&clock),
        ));
    }

    // The doors: syslog and agents, then people and tools.
    let doors = Doors {
        config,
        thread: Arbiter::new().handle(),
        intake: intake.clone(),
        known: Arc::new(config.sources()),
        tls: tls.clone(),
        clock,
        metrics: ingest_metrics,
    };
    let open = doors.open(&token)?;
    let taps = Arc::new(LiveTaps {
        journal: journal.clone(),
        ledger: Arc::clone(&ledger),
        rules: Arc::clone(&opened.desk),
        bounds: config.bounds(),
        open: Arc::default(),
    });
    let mut ports = Ports {
        alerts: Arc::new(ReadAlerts {
            ledger: Arc::clone(&ledger),
            explainer: Arc::new(Explainer {
                frames: Arc::clone(&frames),
                rules: Arc::clone(&opened.desk),
                bounds: config.bounds(),
            }),
        }),
        feed: Arc::new(Bell(Arc::clone(&bell))),
        sinks: Arc::new(ManageSinks {
            responders: Arc::clone(&responders),
            runtime: tokio::runtime::Handle::current(),
        }),
        finding: responders::finding(&opened.desk),
        intake: Arc::new(HttpIntake {
            intake: intake.clone(),
            config: config.clone(),
        }),
        rules: Arc::new(ManageRules {
            desk: opened.desk,
            intake: intake.clone(),
            status: Arc::clone(&status),
            caught_up_at: opened.begun,
            runtime: tokio::runtime::Handle::current(),
            frames,
            bounds: config.bounds(),
        }),
        taps,
        health: Arc::new(Readiness {
            status: Arc::clone(&status),
            caught_up_at: opened.begun,
        }),
        registry,
    };
    if config.cluster.follows() {
        let elsewhere = Elsewhere::of(config);
        (ports.alerts, ports.rules) = (elsewhere.clone(), elsewhere);
    }
    let of_http = tls.filter(|_| config.tls.http);
    let (web, per_peer) = (config.listen.http.0, config.connections.per_peer_max);
    let web = web
        .map(|at| doors::serve(at, ports, &token, of_http, per_peer))
        .transpose()?;
    let address = |source: &Option<SourceHandle>| source.as_ref().map(|s| s.local_address);
    Ok(Server {
        addresses: Addresses {
            udp: address(&open.udp),
            tcp: address(&open.tcp),
            tls: address(&open.tls),
            relp: address(&open.relp),
            agent: address(&open.agent),
            http: web.as_ref().map(|(at, _)| *at),
        },
        token,
        status,
        ledger,
        journal,
        sources: open.all(),
        web: web.map(|(_, handle)| handle),
        intake,
        host,
        bell,
        responders,
    })
}

fn writer_options(config: &Config) -> WriterOptions {
    WriterOptions {
        commit: CommitOptions {
            commit_delay: config.journal.commit_delay.std(),
            epoch_events_max: config.journal.epoch_events_max,
            epoch_delay: config.journal.epoch_delay.std(),
            ..CommitOptions::default()
        },
        ..WriterOptions::default()
    }
}

impl Server {
    /// Stops in flow order: doors, journal, graph, streams. What was accepted is journaled and judged.
    pub async fn stop(self) -> Result<()> {
        for source in &self.sources {
            source.stop().await;
        }
        // How far they have come is still to be journaled.
        let _ = actix_rt::task::spawn_blocking(move || self.responders.stop()).await;
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

#[cfg(test)]
mod tests {
    use weir_web::ports::{PortError, PutRule, Rules};

    use super::*;
    use crate::config::Door;

    /// An epoch that no run comes to.
    const NEVER: Epoch = Epoch(u64::MAX);

    #[test]
    fn a_stop_before_the_graph_caught_up_ends_whoever_waits_for_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config {
            data_dir: Some(folder.path().join("data")),
            ..Config::default()
        };
        let listen = &mut config.listen;
        for door in [
            &mut listen.syslog_udp,
            &mut listen.syslog_tcp,
            &mut listen.agent,
            &mut listen.http,
        ] {
            *door = Door(None);
        }
        actix_rt::System::new().block_on(async move {
            let server = start(&config, Vec::new(), None)
                .await
                .expect("a server starts");
            let status = Arc::clone(&server.status);
            let rules = ManageRules {
                desk: Arc::default(),
                intake: server.intake.clone(),
                status: Arc::clone(&status),
                caught_up_at: NEVER,
                runtime: tokio::runtime::Handle::current(),
                frames: Arc::new(ReadFrames(server.journal.clone())),
                bounds: config.bounds(),
            };
            server.stop().await.expect("it stops");
            assert!(!opening::caught_up(&status, NEVER));
            // Nor is a rule taken whose beginning nobody knows.
            let put = actix_rt::task::spawn_blocking(move || rules.put("title: a", "api"));
            let answer = put.await.expect("it answers");
            let refused = matches!(answer, Err(PutRule::Port(PortError::Unavailable(_))));
            assert!(refused, "{answer:?}");
        });
    }
}
