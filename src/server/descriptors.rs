//! The file descriptors of the process: connections never take those of journal, ledger and sinks.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors for everything but connections: journal segments and their index, the ledger, sinks
/// with their consumers, listeners, the reactors of the threads, and rule files.
const RESERVE: usize = 256;

/// Fewest connections that a listener is shrunk to.
const CONNECTIONS_MIN: usize = 8;

/// The configuration with connections that fit into the limit of descriptors.
pub struct FittedConfig {
    pub config: Config,
    /// Why there are fewer connections than configured.
    pub warning: Option<String>,
}

/// Raises the soft limit to the hard one, and fits the connections into it. Fails if the limit leaves
/// no room for connections.
pub fn fit_to_limit(config: &Config) -> Result<FittedConfig, String> {
    fit(config, raise_limit())
}

/// Raises the soft limit of descriptors to the hard limit. Returns the limit; `None` is no limit.
fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files; the soft limit stays");
            current
        }
    }
}

fn fit(config: &Config, limit: Option<u64>) -> Result<FittedConfig, String> {
    let mut fitted = FittedConfig {
        config: config.clone(),
        warning: None,
    };
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return Ok(fitted);
    };
    let needed = needed(config);
    let room = limit.saturating_sub(RESERVE);
    if needed <= room {
        return Ok(fitted);
    }
    let remedy = format!(
        "set LimitNOFILE={0} for the service, or `ulimit -n {0}` before the start, or lower \
         connections.max, connections.agents_max and connections.http_max",
        needed + RESERVE
    );
    // The constant parts of what is needed do not shrink, so the first part may be too large.
    let mut part = room as f64 / needed as f64;
    while self::needed(&fitted.config) > room {
        fitted.config.connections = config.connections.shrunk(part, CONNECTIONS_MIN);
        part *= 0.9;
        if part < 1e-6 {
            return Err(format!(
                "the limit of open files is {limit}, too low for any connections: {remedy}"
            ));
        }
    }
    let connections = &fitted.config.connections;
    fitted.warning = Some(format!(
        "the limit of open files is {limit}, and the configured connections may need {needed} besides \
         {RESERVE} for journal, ledger and sinks: listeners have at most {} connections, agents {}, \
         HTTP {}; {remedy}",
        connections.max, connections.agents_max, connections.http_max
    ));
    Ok(fitted)
}

/// Most descriptors that connections can hold.
fn needed(config: &Config) -> usize {
    let listen = &config.listen;
    let syslog = [listen.syslog_tcp.0, config.syslog_tls(), listen.relp.0];
    let syslog_listeners = syslog.iter().flatten().count();
    let connections = &config.connections;
    let mut needed = syslog_listeners * connections.syslog_options().connections.descriptors_max();
    if listen.agent.0.is_some() {
        needed += connections.agent_options().connections.descriptors_max();
    }
    if listen.http.0.is_some() {
        needed += weir_web::descriptors_max(connections.http_max);
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W6, W9: under the common limit of 1,024 files, connections leave room for journal and ledger.
    #[test]
    fn connections_shrink_until_a_reserve_is_left() {
        let config = Config::default();
        let enough = u64::try_from(needed(&config) + RESERVE).expect("it fits");
        for limit in [None, Some(enough)] {
            let fitted = fit(&config, limit).expect("it fits");
            assert!(fitted.warning.is_none());
            assert_eq!(fitted.config.connections.max, 1_024);
        }
        for limit in [enough - 1, 4_096, 1_024, 512] {
            let fitted = fit(&config, Some(limit)).expect("it fits when shrunk");
            assert!(
                needed(&fitted.config) as u64 + RESERVE as u64 <= limit,
                "{limit}"
            );
            let connections = &fitted.config.connections;
            assert!(connections.max >= CONNECTIONS_MIN && connections.max < 1_024);
            assert!(connections.problems().is_empty(), "shares fit, too");
            let warning = fitted.warning.expect("it is told");
            assert!(warning.contains("LimitNOFILE="), "{warning}");
        }
        let Err(refused) = fit(&config, Some(256)) else {
            panic!("nothing is left for connections");
        };
        assert!(refused.contains("too low"), "{refused}");
    }
}
