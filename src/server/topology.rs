//! The topology, on one page: every part in flow order, with the queue in front of it.
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
//! Every queue is bounded. Between journal and graph the disk is the queue: a slow graph delays
//! alerts, never acknowledgements.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use actix_rt::Arbiter;
use anyhow::Result;
use tokio::sync::watch;
use weir_dataflow::{ClusterMember, EmitOptions, Host, HostOptions, Status};
use weir_ingest::{CommitOptions, IngestWriter, Intake, SourceHandle, TlsServer, WriterOptions};
use weir_manage::{RuleFileDocument, RuleFollower};
use weir_respond::Responders;
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;
use weir_web::WebHandle;

use crate::config::Config;
use crate::server::adapters::WriteJournal;
use crate::server::adapters::manage::EditProgress;
use crate::server::budget::BudgetKeeper;
use crate::server::clock_watch::ClockWatch;
use crate::server::cluster::JournalSealControl;
use crate::server::conditions::ConditionReporter;
use crate::server::edits_ahead::EditsAhead;
use crate::server::graph_ports::GraphPorts;
use crate::server::health::{JournalWrites, ServerHealth, SyncedEpochs, Watch, WatchedParts};
use crate::server::ledger::{open_ledger, sync_regularly};
use crate::server::listeners::{self, ListenerParts, OpenListeners};
use crate::server::metrics::GraphMetrics;
use crate::server::observers::EpochObserver;
use crate::server::opening::{OpenedJournal, recover_journal, report_replay};
use crate::server::parts::{RunningGraph, RunningJournal, ServerBase};
use crate::server::printer::LinePrinter;
use crate::server::run_marks::{RunMarks, report_ends};
use crate::server::sinks::{self, SinkLinks};
use crate::server::stop_guard::StopStage;
use crate::server::unread::UnreadKeeper;
use crate::server::web_ports::web_ports;
use crate::server::what_if_metrics::WhatIfMetrics;
use crate::server::{backfill, budget, cluster, descriptors, quarantine, token};

/// Addresses of a running server; `None` for a listener that is off.
#[derive(Clone, Debug)]
pub struct ServerAddresses {
    pub udp: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    pub tls: Option<SocketAddr>,
    pub relp: Option<SocketAddr>,
    pub agent: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
}

/// A running server.
pub struct Server {
    pub addresses: ServerAddresses,
    pub token: String,
    pub status: Arc<Status>,
    pub ledger: Arc<Ledger>,
    pub journal: JournalReader,
    pub health: ServerHealth,
    pub marks: Arc<RunMarks>,
    /// The part that is being stopped.
    pub stage: StopStage,
    pub(super) sources: Vec<SourceHandle>,
    pub(super) web: Vec<WebHandle>,
    pub(super) intake: Intake,
    pub(super) host: Host,
    pub(super) commits: Arc<watch::Sender<u64>>,
    pub(super) responders: Arc<Responders>,
}

/// Starts every part in flow order, from the journal to the sinks, and then opens the listeners.
///
/// Needs an actix system.
pub async fn start(
    config: &Config,
    rules: Vec<RuleFileDocument>,
    printer: Option<LinePrinter>,
) -> Result<Server> {
    // Connections must leave descriptors for journal and ledger.
    let fitted = descriptors::fit_to_limit(config).map_err(anyhow::Error::msg)?;
    if let Some(warning) = fitted.warning {
        tracing::warn!("{warning}");
    }
    let config = &fitted.config;
    let mut marks = None;
    let started = start_parts(config, rules, printer, &mut marks).await;
    if let (Err(_), Some(marks)) = (&started, marks) {
        // The start tells the reason itself.
        marks.record_stop();
    }
    started
}

/// Starts every part. `run_marks` gets the marks of this run once they are made.
async fn start_parts(
    config: &Config,
    rules: Vec<RuleFileDocument>,
    printer: Option<LinePrinter>,
    run_marks: &mut Option<Arc<RunMarks>>,
) -> Result<Server> {
    let dir = config.data_dir.clone();
    let dir = dir.unwrap_or_else(|| PathBuf::from("weir-data"));
    let tls = listeners::load_tls(config)?;
    let token = token::load_or_create(&dir)?;
    let base = ServerBase::new(config)?;

    // Every source submits to one journal writer.
    let (mut journal, member) = start_journal(config, &dir, &rules, &base, run_marks)?;

    // The graph replays the journal and then follows it, into the ledger.
    let graph = start_graph(config, &dir, &journal, member, printer, &base)?;

    // The sinks follow the ledger.
    let responders = start_sinks(config, &mut journal, &graph, &base)?;

    // Background tasks sync the ledger, follow rule files and speed up backfills.
    start_tasks(config, rules, &journal, &graph, &base);

    // Syslog and agents enter through listeners; people and tools through HTTP.
    let open = open_listeners(config, &token, &journal, tls.as_ref(), &base)?;
    let health = server_health(&journal, &graph);
    start_watch(config, &health, &journal, &responders, &base)?;
    let ports = web_ports(config, &journal, &graph, &responders, &health, &base);
    let http = listeners::serve_http(config, ports, &token, tls)?;

    Ok(Server {
        addresses: addresses(&open, http.as_ref().map(|http| http.address)),
        token,
        status: graph.status,
        ledger: graph.ledger,
        journal: journal.reader,
        health,
        marks: journal.marks,
        stage: StopStage::default(),
        sources: open.into_handles(),
        web: http.map_or_else(Vec::new, |http| http.handles),
        intake: journal.intake,
        host: graph.host,
        commits: graph.commits,
        responders,
    })
}

/// Recovers the journal, joins the cluster if there is one, and starts the writer.
fn start_journal(
    config: &Config,
    dir: &Path,
    rules: &[RuleFileDocument],
    base: &ServerBase,
    run_marks: &mut Option<Arc<RunMarks>>,
) -> Result<(RunningJournal, Option<ClusterMember>)> {
    let recovered = recover_journal(dir, config, &base.store_metrics)?;
    // The lock of the journal is held now, so no other server runs here.
    let (marks, past_ends) = RunMarks::begin(dir, base.clock.now());
    let marks = Arc::clone(run_marks.insert(Arc::new(marks)));
    let member = cluster::join(config, dir, recovered.last_sealed())?;
    let OpenedJournal {
        writer,
        registry,
        deliveries,
        positions,
        conditions,
        epochs,
        repairs,
        ahead,
        jump_at_start,
        before,
        begun,
    } = recovered.begin(config, rules, member.as_ref(), base.clock.now())?;
    let reader = writer.reader();
    let writes = Arc::new(JournalWrites::resume(&epochs, base.clock.now()));
    let intake = IngestWriter::start(
        WriteJournal {
            journal: writer,
            writes: Arc::clone(&writes),
            synced: SyncedEpochs::default(),
        },
        writer_options(config),
        base.ingest_metrics.clone(),
        deliveries,
        Arc::clone(&base.clock),
    )?;
    let journal = RunningJournal {
        intake,
        reader,
        writes,
        registry,
        positions,
        conditions: ConditionReporter::new(conditions),
        marks,
        past_ends,
        repairs: Arc::new(repairs),
        ahead: Arc::new(EditsAhead::new(ahead)),
        jump_at_start,
        before,
        begun,
    };
    Ok((journal, member))
}

fn writer_options(config: &Config) -> WriterOptions {
    WriterOptions {
        commit: CommitOptions {
            commit_delay: config.journal.commit_delay.to_std(),
            epoch_events_max: config.journal.epoch_events_max,
            epoch_delay: config.journal.epoch_delay.to_std(),
            ..CommitOptions::default()
        },
        ..WriterOptions::default()
    }
}

fn start_graph(
    config: &Config,
    dir: &Path,
    journal: &RunningJournal,
    mut member: Option<ClusterMember>,
    printer: Option<LinePrinter>,
    base: &ServerBase,
) -> Result<RunningGraph> {
    quarantine::prune(dir, &config.quarantine, SystemTime::now());
    let ledger = open_ledger(&dir.join("ledger"), &base.store_metrics, journal.before)?;
    let judged_before = ledger.applied();
    let ledger = Arc::new(ledger);
    let GraphPorts {
        source,
        frames,
        ledger: writer,
    } = GraphPorts::open(config, journal, &ledger)?;
    let frames = match &mut member {
        Some(member) => member.batch_reader(frames)?,
        None => frames,
    };
    let commits = Arc::new(watch::Sender::new(0));
    let observer = Box::new(EpochObserver {
        metrics: GraphMetrics::register(&base.registry)?,
        frames: Arc::clone(&frames),
        clock: Arc::clone(&base.clock),
        commits: Arc::clone(&commits),
        printer,
        balance: base.ingest_metrics.balance().clone(),
        begun: journal.begun,
        clocks: BTreeMap::new(),
        registry: Arc::clone(&journal.registry),
        budget: base.budget.clone(),
        unread: base.unread.clone(),
    });
    let options = host_options(config);
    let read = frames.clone();
    let seals = || Arc::new(JournalSealControl(journal.reader.clone()));
    let host = match member {
        Some(member) => {
            Host::start_in_cluster(member, options, source, seals(), read, writer, observer)
        }
        None => Host::start(options, source, read, writer, observer),
    }?;
    WhatIfMetrics::register(&base.registry, host.status())?;
    Ok(RunningGraph {
        status: host.status(),
        host,
        ledger,
        frames,
        commits,
        judged_before,
    })
}

fn host_options(config: &Config) -> HostOptions {
    HostOptions {
        workers: config.graph.workers,
        emit: EmitOptions {
            stopwatch: Some(budget::stopwatch()),
            ..EmitOptions::default()
        },
    }
}

fn start_sinks(
    config: &Config,
    journal: &mut RunningJournal,
    graph: &RunningGraph,
    base: &ServerBase,
) -> Result<Arc<Responders>> {
    let positions = std::mem::take(&mut journal.positions);
    let links = SinkLinks {
        ledger: &graph.ledger,
        intake: &journal.intake,
        rules: &journal.registry,
        status: &graph.status,
        begun: journal.begun,
        news: graph.commits.subscribe(),
        registry: &base.registry,
    };
    sinks::start(config, positions, &links)
}

fn start_tasks(
    config: &Config,
    rules: Vec<RuleFileDocument>,
    journal: &RunningJournal,
    graph: &RunningGraph,
    base: &ServerBase,
) {
    sync_regularly(&graph.ledger, &base.store_metrics);
    report_replay(&graph.status, journal.begun);
    ClockWatch::start(config, journal, base);
    if !config.cluster.follows() {
        let (intake, clock) = (journal.intake.clone(), Arc::clone(&base.clock));
        actix_rt::spawn(journal.conditions.clone().journal(intake, clock));
        let (conditions, ends) = (journal.conditions.clone(), journal.past_ends.clone());
        let marks = Arc::clone(&journal.marks);
        actix_rt::spawn(async move {
            report_ends(&conditions, &ends).await;
            marks.forget_ends();
        });
        let follower = RuleFollower {
            journal: journal.edits(config),
            registry: Arc::clone(&journal.registry),
            graph: Arc::new(EditProgress(Arc::clone(&graph.status))),
            begun: journal.begun,
            initial: rules,
            paths: config.rules.paths.clone(),
        };
        actix_rt::spawn(follower.follow());
        let keeper = BudgetKeeper {
            budget: base.budget.clone(),
            status: Arc::clone(&graph.status),
            registry: Arc::clone(&journal.registry),
            journal: journal.edits(config),
            graph: Arc::new(EditProgress(Arc::clone(&graph.status))),
            conditions: journal.conditions.clone(),
            clock: Arc::clone(&base.clock),
            begun: journal.begun,
        };
        actix_rt::spawn(keeper.keep(config.rules.clone()));
        let keeper = UnreadKeeper {
            lines: base.unread.clone(),
            status: Arc::clone(&graph.status),
            frames: Arc::clone(&graph.frames),
            conditions: journal.conditions.clone(),
        };
        actix_rt::spawn(keeper.keep(config.self_alerts.clone()));
    }
    if !config.cluster.is_on() {
        actix_rt::spawn(backfill::tick_during_backfills(
            Arc::clone(&graph.status),
            journal.reader.clone(),
            journal.intake.clone(),
            Arc::clone(&base.clock),
        ));
    }
}

fn server_health(journal: &RunningJournal, graph: &RunningGraph) -> ServerHealth {
    ServerHealth {
        status: Arc::clone(&graph.status),
        journal: journal.reader.clone(),
        writes: Arc::clone(&journal.writes),
        watch: Arc::default(),
        judged_before: graph.judged_before,
        caught_up_at: journal.begun,
    }
}

/// Starts the watch over all parts.
fn start_watch(
    config: &Config,
    health: &ServerHealth,
    journal: &RunningJournal,
    responders: &Arc<Responders>,
    base: &ServerBase,
) -> Result<()> {
    let parts = WatchedParts {
        health: health.clone(),
        intake: journal.intake.clone(),
        responders: Arc::clone(responders),
        rules: Arc::clone(&journal.registry),
        conditions: journal.conditions.clone(),
        marks: Arc::clone(&journal.marks),
    };
    Watch::start(config, &base.registry, parts)
}

fn open_listeners(
    config: &Config,
    token: &str,
    journal: &RunningJournal,
    tls: Option<&TlsServer>,
    base: &ServerBase,
) -> Result<OpenListeners> {
    let parts = ListenerParts {
        config,
        thread: Arbiter::new().handle(),
        intake: journal.intake.clone(),
        sources: Arc::new(config.sources()),
        tls: tls.cloned(),
        clock: Arc::clone(&base.clock),
        metrics: base.ingest_metrics.clone(),
    };
    parts.open(token)
}

fn addresses(open: &OpenListeners, http: Option<SocketAddr>) -> ServerAddresses {
    let address = |source: &Option<SourceHandle>| source.as_ref().map(|s| s.local_address);
    ServerAddresses {
        udp: address(&open.udp),
        tcp: address(&open.tcp),
        tls: address(&open.tls),
        relp: address(&open.relp),
        agent: address(&open.agent),
        http,
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use weir_manage::{RuleEditor, RuleRegistry, wait_until_applied};
    use weir_schema::Epoch;
    use weir_web::ports::{PortError, RuleUpdateError, Rules};

    use super::*;
    use crate::config::ListenAddress;
    use crate::server::adapters::FollowFrames;
    use crate::server::adapters::manage::{EditJournal, SystemEditClock};
    use crate::server::adapters::rules::EditRules;

    /// An epoch that no run reaches.
    const NEVER: Epoch = Epoch(u64::MAX);

    #[test]
    fn a_stop_before_the_graph_caught_up_ends_the_wait_for_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config {
            data_dir: Some(folder.path().join("data")),
            ..Config::default()
        };
        let listen = &mut config.listen;
        for address in [
            &mut listen.syslog_udp,
            &mut listen.syslog_tcp,
            &mut listen.agent,
            &mut listen.http,
        ] {
            *address = ListenAddress(None);
        }
        actix_rt::System::new().block_on(async move {
            let server = start(&config, Vec::new(), None)
                .await
                .expect("a server starts");
            let status = Arc::clone(&server.status);
            let graph = Arc::new(EditProgress(Arc::clone(&status)));
            let registry = Arc::<RuleRegistry>::default();
            let rules = EditRules {
                editor: RuleEditor {
                    registry: Arc::clone(&registry),
                    journal: Arc::new(EditJournal {
                        intake: server.intake.clone(),
                        ahead: None,
                    }),
                    graph: graph.clone(),
                    clock: Arc::new(SystemEditClock),
                    caught_up_at: NEVER,
                    runtime: Handle::current(),
                },
                registry,
                budget: budget::RuleBudget::register(&config, &prometheus::Registry::new())
                    .expect("the metrics are new"),
                status,
                frames: Arc::new(FollowFrames(server.journal.clone())),
                bounds: config.bounds(),
            };
            server.stop().await.expect("it stops");
            assert!(!wait_until_applied(&*graph, NEVER));
            // A rule cannot be added either, as nobody knows where it would begin.
            let add = actix_rt::task::spawn_blocking(move || rules.add("title: a", "api"));
            let answer = add.await.expect("it answers");
            let unavailable = matches!(
                answer,
                Err(RuleUpdateError::Port(PortError::Unavailable(_)))
            );
            assert!(unavailable, "{answer:?}");
        });
    }
}
