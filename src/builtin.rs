//! The rules that come with Weir, inside the binary.

use crate::rule_desk::{Document, documents};

/// Path below `rules/`, and text.
const FILES: &[(&str, &str)] = &[
    (
        "linux/account_created_with_rights.yml",
        include_str!("../rules/linux/account_created_with_rights.yml"),
    ),
    (
        "linux/cron_from_writable_folder.yml",
        include_str!("../rules/linux/cron_from_writable_folder.yml"),
    ),
    (
        "linux/process_reverse_shell.yml",
        include_str!("../rules/linux/process_reverse_shell.yml"),
    ),
    (
        "linux/ssh_guessed_login.yml",
        include_str!("../rules/linux/ssh_guessed_login.yml"),
    ),
    (
        "linux/ssh_login_fan_out.yml",
        include_str!("../rules/linux/ssh_login_fan_out.yml"),
    ),
    (
        "linux/ssh_password_guessing.yml",
        include_str!("../rules/linux/ssh_password_guessing.yml"),
    ),
    (
        "linux/ssh_root_password_login.yml",
        include_str!("../rules/linux/ssh_root_password_login.yml"),
    ),
    (
        "linux/sudo_denied.yml",
        include_str!("../rules/linux/sudo_denied.yml"),
    ),
    (
        "linux/sudo_download_and_run.yml",
        include_str!("../rules/linux/sudo_download_and_run.yml"),
    ),
    (
        "linux/sudo_log_tampering.yml",
        include_str!("../rules/linux/sudo_log_tampering.yml"),
    ),
    (
        "linux/sudo_root_shell.yml",
        include_str!("../rules/linux/sudo_root_shell.yml"),
    ),
    (
        "linux/sudo_without_change_ticket.yml",
        include_str!("../rules/linux/sudo_without_change_ticket.yml"),
    ),
    (
        "network/firewall_denied_egress.yml",
        include_str!("../rules/network/firewall_denied_egress.yml"),
    ),
    (
        "network/firewall_port_scan.yml",
        include_str!("../rules/network/firewall_port_scan.yml"),
    ),
    (
        "web/web_login_guessing.yml",
        include_str!("../rules/web/web_login_guessing.yml"),
    ),
    (
        "web/web_missing_pages.yml",
        include_str!("../rules/web/web_missing_pages.yml"),
    ),
    (
        "web/web_path_traversal.yml",
        include_str!("../rules/web/web_path_traversal.yml"),
    ),
    (
        "web/web_scanner_agent.yml",
        include_str!("../rules/web/web_scanner_agent.yml"),
    ),
    (
        "web/web_shell_request.yml",
        include_str!("../rules/web/web_shell_request.yml"),
    ),
];

/// All documents, members before the correlations that read them.
pub fn rules() -> Vec<Document> {
    let all = FILES.iter();
    let all = all.flat_map(|(path, text)| documents(text, &format!("builtin:{path}")));
    crate::rule_desk::members_first(all.collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A rule that is in the folder but not in the binary would never run.
    #[test]
    fn every_rule_of_the_folder_is_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let found = crate::rule_desk::read(&root).expect("the rules can be read");
        assert_eq!(found.len(), super::rules().len());
    }
}
