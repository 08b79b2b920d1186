//! `[cluster]`: this process, among several that run one graph.

use std::path::PathBuf;

use serde::Deserialize;
use weir_schema::BatchSeq;

/// A cluster of processes that run one graph; see `docs/operations-cluster.md`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Number of this process, from 0; process 0 leads. Default 0.
    pub process: usize,
    /// `host:port` of each process, in order, at which the others connect; default none: one
    /// process.
    pub addresses: Vec<String>,
    /// File with the secret that all processes share, at least 32 characters; only its owner may be
    /// able to read it.
    pub secret_file: Option<PathBuf>,
}

impl ClusterConfig {
    /// Whether this process is part of a cluster.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Whether another process leads the cluster.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.is_on() && self.process > 0
    }

    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let processes = self.addresses.len();
        if !self.is_on() {
            if self.process > 0 || self.secret_file.is_some() {
                problems
                    .push("cluster.addresses: is missing; list those of all processes".to_owned());
            }
            return problems;
        }
        if !(2..=BatchSeq::PROCESSES_MAX).contains(&processes) {
            let most = BatchSeq::PROCESSES_MAX;
            problems.push(format!("cluster.addresses: must be 2 to {most}"));
        }
        if self.process >= processes {
            problems.push(format!(
                "cluster.process: must be 0 to {}, as there are {processes} addresses",
                processes - 1
            ));
        }
        let port = |address: &str| {
            let port = address
                .rsplit_once(':')
                .map(|(_, port)| port.parse::<u16>());
            matches!(port, Some(Ok(1..)))
        };
        for address in self.addresses.iter().filter(|address| !port(address)) {
            problems.push(format!(
                "cluster.addresses: `{address}` is not like `10.0.0.1:9514`"
            ));
        }
        if self.secret_file.is_none() {
            let hint = "write 32 random characters to a file on every machine";
            problems.push(format!("cluster.secret_file: is missing; {hint}"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_and_no_section_means_one_process() {
        let count = |text: &str| {
            let config: ClusterConfig = toml::from_str(text).expect("it is TOML");
            config.problems().len()
        };
        let secret = "secret_file = 's'\n";
        let cases = [
            ("", 0),
            ("process = 1", 1),
            ("addresses = ['a:1', 'b:2']", 1),
            ("process = 2\naddresses = ['a', 'b:0']", 4),
        ];
        for (text, problems) in cases {
            assert_eq!(count(text), problems, "{text}");
        }
        let good = format!("{secret}process = 1\naddresses = ['a:1', '[::1]:2']");
        assert_eq!(count(&good), 0);
        assert_eq!(count(&format!("{secret}addresses = ['a:1']")), 1);
    }
}
