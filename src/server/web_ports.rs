//! Joins the parts of a running server to the ports of the HTTP API.

use std::sync::Arc;

use tokio::runtime::Handle;
use weir_manage::RuleEditor;
use weir_respond::Responders;
use weir_web::WebPorts;

use crate::config::Config;
use crate::server::adapters::manage::{EditProgress, SystemEditClock};
use crate::server::adapters::rules::EditRules;
use crate::server::adapters::{CommitSignal, HttpIntake, ReadAlerts};
use crate::server::elsewhere::Elsewhere;
use crate::server::explain::Explainer;
use crate::server::health::ServerHealth;
use crate::server::parts::{RunningGraph, RunningJournal, ServerBase};
use crate::server::sinks::{self, ManageSinks};
use crate::server::taps::JournalTaps;
use crate::server::unread::ListUnread;

/// The ports of the HTTP API; a process that does not lead its cluster refuses alerts and rules.
pub fn web_ports(
    config: &Config,
    journal: &RunningJournal,
    graph: &RunningGraph,
    responders: &Arc<Responders>,
    health: &ServerHealth,
    base: &ServerBase,
) -> WebPorts {
    let mut ports = WebPorts {
        alerts: Arc::new(ReadAlerts {
            ledger: Arc::clone(&graph.ledger),
            explainer: Arc::new(Explainer {
                frames: Arc::clone(&graph.frames),
                rules: Arc::clone(&journal.registry),
                bounds: config.bounds(),
            }),
        }),
        outbox_signal: Arc::new(CommitSignal(Arc::clone(&graph.commits))),
        sinks: Arc::new(ManageSinks {
            responders: Arc::clone(responders),
            runtime: Handle::current(),
        }),
        sources: Arc::new(ListUnread {
            lines: base.unread.clone(),
            frames: Arc::clone(&graph.frames),
            conditions: journal.conditions.clone(),
        }),
        finding: sinks::finding_writer(&journal.registry),
        intake: Arc::new(HttpIntake {
            intake: journal.intake.clone(),
            clock: Arc::clone(&base.clock),
            config: config.clone(),
        }),
        rules: Arc::new(edit_rules(config, journal, graph, base)),
        taps: Arc::new(JournalTaps {
            journal: journal.reader.clone(),
            ledger: Arc::clone(&graph.ledger),
            rules: Arc::clone(&journal.registry),
            bounds: config.bounds(),
            open: Arc::default(),
        }),
        health: Arc::new(health.clone()),
        registry: base.registry.clone(),
    };
    if config.cluster.follows() {
        let elsewhere = Elsewhere::from_config(config);
        (ports.alerts, ports.rules) = (elsewhere.clone(), elsewhere);
    }
    ports
}

/// The port by which the API edits rules.
fn edit_rules(
    config: &Config,
    journal: &RunningJournal,
    graph: &RunningGraph,
    base: &ServerBase,
) -> EditRules {
    EditRules {
        editor: RuleEditor {
            registry: Arc::clone(&journal.registry),
            journal: journal.edits(config),
            graph: Arc::new(EditProgress(Arc::clone(&graph.status))),
            clock: Arc::new(SystemEditClock),
            caught_up_at: journal.begun,
            runtime: Handle::current(),
        },
        registry: Arc::clone(&journal.registry),
        budget: base.budget.clone(),
        status: Arc::clone(&graph.status),
        frames: Arc::clone(&graph.frames),
        bounds: config.bounds(),
    }
}
