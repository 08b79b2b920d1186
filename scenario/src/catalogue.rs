//! Table of the rules in `rules/` that the generator triggers, so that it needs no rule engine.
//!
//! A test compares the table with the YAML files.

use weir_schema::Span;

/// Condition of a rule on the events in its trailing window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleCondition {
    /// At least `at_least` events that the member matches.
    Count { member: &'static str, at_least: u64 },
    /// At least one event of each member.
    Both { members: [&'static str; 2] },
    /// An event of `member`, and none of `missing`.
    Without {
        member: &'static str,
        missing: &'static str,
    },
}

/// A rule in `rules/` that raises alerts.
#[derive(Clone, Copy, Debug)]
pub struct AlertingRule {
    pub name: &'static str,
    pub id: &'static str,
    pub title: &'static str,
    /// Path below `rules/`.
    pub file: &'static str,
    pub condition: RuleCondition,
    pub group_by: &'static [&'static str],
    pub timespan: Span,
}

/// Finds a rule by its name.
#[must_use]
pub fn alerting_rule(name: &str) -> Option<&'static AlertingRule> {
    ALERTING_RULES.iter().find(|rule| rule.name == name)
}

/// The rules that a scenario or a load triggers, in order of file. All other rules must raise
/// nothing over them.
pub const ALERTING_RULES: &[AlertingRule] = &[
    AlertingRule {
        name: "account_created_with_rights",
        id: "2fdfe77e-8887-5553-8d46-e23234ea0e77",
        title: "New account becomes administrator at once",
        file: "linux/account_created_with_rights.yml",
        condition: RuleCondition::Both {
            members: ["account_created", "account_privileged"],
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "cron_from_writable_folder",
        id: "52dca3a9-7a03-5fdd-a574-4ff0520c95f6",
        title: "cron runs something from a folder that everybody can write",
        file: "linux/cron_from_writable_folder.yml",
        condition: RuleCondition::Count {
            member: "cron_from_writable_folder",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "process_reverse_shell",
        id: "40f1bdcb-1063-5bdf-8524-9cd118fc4ba0",
        title: "Shell whose input and output are a network connection",
        file: "linux/process_reverse_shell.yml",
        condition: RuleCondition::Count {
            member: "process_reverse_shell",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "ssh_guessed_login",
        id: "492fd241-19f9-5a5a-91d3-b8efb4caa59c",
        title: "SSH login from an address that was guessing accounts",
        file: "linux/ssh_guessed_login.yml",
        condition: RuleCondition::Both {
            members: ["ssh_unknown_account", "ssh_login_success"],
        },
        group_by: &["src_ip"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "ssh_login_fan_out",
        id: "63862305-1ef0-5988-a565-583ab5d6130f",
        title: "One account logs in again and again from one host",
        file: "linux/ssh_login_fan_out.yml",
        condition: RuleCondition::Count {
            member: "ssh_login_by_person",
            at_least: 6,
        },
        group_by: &["src_ip", "user"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "ssh_password_guessing",
        id: "bb590f8f-cd26-55c2-89eb-25e60f310615",
        title: "SSH passwords are being guessed from one address",
        file: "linux/ssh_password_guessing.yml",
        condition: RuleCondition::Count {
            member: "ssh_login_failure",
            at_least: 10,
        },
        group_by: &["src_ip"],
        timespan: Span::seconds(300),
    },
    AlertingRule {
        name: "ssh_account_under_guessing",
        id: "4a042920-0b65-5636-a9dc-2cad2c925e94",
        title: "SSH passwords of one account are being guessed",
        file: "linux/ssh_password_guessing.yml",
        condition: RuleCondition::Count {
            member: "ssh_login_failure",
            at_least: 15,
        },
        group_by: &["user"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "ssh_root_password_login",
        id: "92733875-0955-5d0b-93a0-354c0c56fc78",
        title: "Root logs in over SSH with a password",
        file: "linux/ssh_root_password_login.yml",
        condition: RuleCondition::Count {
            member: "ssh_root_password_login",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "sudo_denied",
        id: "847ec698-4f3c-5a86-bb01-587d16bb2e67",
        title: "sudo refuses somebody again and again",
        file: "linux/sudo_denied.yml",
        condition: RuleCondition::Count {
            member: "sudo_refusal",
            at_least: 3,
        },
        group_by: &["user", "host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "sudo_download_and_run",
        id: "0ef553c6-5a72-5c16-a186-c17cdd1189d1",
        title: "Something is downloaded and run as root",
        file: "linux/sudo_download_and_run.yml",
        condition: RuleCondition::Count {
            member: "sudo_download_and_run",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "sudo_log_tampering",
        id: "e3000e10-618f-5bfc-808e-8b03e75fa034",
        title: "Logs are emptied or deleted as root",
        file: "linux/sudo_log_tampering.yml",
        condition: RuleCondition::Count {
            member: "sudo_log_tampering",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "sudo_root_shell",
        id: "d607a1e4-be81-53e2-9db5-e6f8177ffade",
        title: "Interactive root shell through sudo",
        file: "linux/sudo_root_shell.yml",
        condition: RuleCondition::Count {
            member: "sudo_root_shell",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "sudo_watch_stopped",
        id: "ca7daff3-e063-5ac5-81a5-c280d088ae7a",
        title: "What watches or guards a host is switched off",
        file: "linux/sudo_watch_stopped.yml",
        condition: RuleCondition::Count {
            member: "sudo_watch_stopped",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "sudo_without_change_ticket",
        id: "a2cd55eb-522d-5e3b-95d6-c0d92fd82f4f",
        title: "Maintenance as root without a change ticket",
        file: "linux/sudo_without_change_ticket.yml",
        condition: RuleCondition::Without {
            member: "sudo_maintenance",
            missing: "change_ticket",
        },
        group_by: &["user"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "firewall_denied_egress",
        id: "3c906af2-760a-5063-8ff9-073a75d74e95",
        title: "A host keeps trying to reach a remote shell",
        file: "network/firewall_denied_egress.yml",
        condition: RuleCondition::Count {
            member: "firewall_block_shell_port",
            at_least: 10,
        },
        group_by: &["src_ip"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "firewall_port_scan",
        id: "12c85538-9b22-5510-bb3e-93d283cf6113",
        title: "Ports of a host are being scanned",
        file: "network/firewall_port_scan.yml",
        condition: RuleCondition::Count {
            member: "firewall_block",
            at_least: 20,
        },
        group_by: &["src_ip", "dst_ip"],
        timespan: Span::seconds(60),
    },
    AlertingRule {
        name: "web_login_guessing",
        id: "4cecdd41-548f-5cbf-92e4-7f4b540233af",
        title: "Web logins are being guessed from one address",
        file: "web/web_login_guessing.yml",
        condition: RuleCondition::Count {
            member: "web_login_failure",
            at_least: 10,
        },
        group_by: &["c-ip"],
        timespan: Span::seconds(300),
    },
    AlertingRule {
        name: "web_missing_pages",
        id: "43ab8fd2-24d4-565b-9dc3-e0e1dfe956ad",
        title: "A client looks for pages that do not exist",
        file: "web/web_missing_pages.yml",
        condition: RuleCondition::Count {
            member: "web_missing_page",
            at_least: 20,
        },
        group_by: &["c-ip"],
        timespan: Span::seconds(60),
    },
    AlertingRule {
        name: "web_path_traversal",
        id: "7017aab7-4f31-543d-bd6e-5cb0d724206b",
        title: "Path traversal that was answered",
        file: "web/web_path_traversal.yml",
        condition: RuleCondition::Count {
            member: "web_path_traversal",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "web_scanner_agent",
        id: "2d78b61e-645b-5879-b3e5-05f550ff824f",
        title: "A known web scanner says its name",
        file: "web/web_scanner_agent.yml",
        condition: RuleCondition::Count {
            member: "web_scanner_agent",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
    AlertingRule {
        name: "web_shell_request",
        id: "3313c5d8-8ea2-5ddb-831f-851cf540b1e7",
        title: "Request to a web shell",
        file: "web/web_shell_request.yml",
        condition: RuleCondition::Count {
            member: "web_shell_request",
            at_least: 1,
        },
        group_by: &["host"],
        timespan: Span::seconds(600),
    },
];
