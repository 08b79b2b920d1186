//! The built-in rules, compiled into the binary.

use weir_manage::{RuleFileDocument, members_first};

/// Makes a table of paths below `rules/` and the texts of these files.
macro_rules! rule_files {
    ($($path:literal,)*) => {
        &[$(($path, include_str!(concat!("../rules/", $path))),)*]
    };
}

/// Path below `rules/`, and text.
const FILES: &[(&str, &str)] = rule_files![
    "cloud/aws_admin_policy_attached.yml",
    "cloud/aws_guard_removed.yml",
    "cloud/aws_key_for_other_user.yml",
    "cloud/aws_login_after_guessing.yml",
    "cloud/aws_login_guesses.yml",
    "cloud/aws_login_guessing.yml",
    "cloud/aws_login_without_mfa.yml",
    "cloud/aws_rights_tried_out.yml",
    "cloud/aws_root_key_created.yml",
    "cloud/aws_root_login.yml",
    "cloud/aws_secrets_gathered.yml",
    "cloud/aws_security_group_opened.yml",
    "cloud/aws_snapshot_shared.yml",
    "cloud/aws_trail_stopped.yml",
    "cloud/aws_user_with_key_and_rights.yml",
    "cloud/entra_password_spraying.yml",
    "cloud/kube_exec.yml",
    "cloud/kube_privileged_pod.yml",
    "cloud/m365_password_spraying.yml",
    "linux/account_created_with_rights.yml",
    "linux/account_root_password_changed.yml",
    "linux/account_second_root.yml",
    "linux/account_service_gets_shell.yml",
    "linux/account_short_lived.yml",
    "linux/audit_preload_written.yml",
    "linux/audit_reverse_shell.yml",
    "linux/audit_run_from_memory.yml",
    "linux/audit_switched_off.yml",
    "linux/audit_unit_file_created.yml",
    "linux/cron_download_and_run.yml",
    "linux/cron_from_writable_folder.yml",
    "linux/cron_table_of_service.yml",
    "linux/ftp_login_guessing.yml",
    "linux/kernel_module_unsigned.yml",
    "linux/kernel_promiscuous.yml",
    "linux/mail_account_spraying.yml",
    "linux/mail_login_guessing.yml",
    "linux/process_cloud_credentials.yml",
    "linux/process_container_escape.yml",
    "linux/process_decoded_and_run.yml",
    "linux/process_history_hidden.yml",
    "linux/process_miner.yml",
    "linux/process_reverse_shell.yml",
    "linux/process_web_server_shell.yml",
    "linux/service_watch_stopped.yml",
    "linux/ssh_account_enumeration.yml",
    "linux/ssh_guessed_login.yml",
    "linux/ssh_login_fan_out.yml",
    "linux/ssh_login_timeouts.yml",
    "linux/ssh_password_guessing.yml",
    "linux/ssh_probing.yml",
    "linux/ssh_root_password_login.yml",
    "linux/su_denied.yml",
    "linux/sudo_denied.yml",
    "linux/sudo_download_and_run.yml",
    "linux/sudo_key_planted.yml",
    "linux/sudo_log_tampering.yml",
    "linux/sudo_password_hashes_read.yml",
    "linux/sudo_root_shell.yml",
    "linux/sudo_rules_changed.yml",
    "linux/sudo_setuid_root.yml",
    "linux/sudo_shell_escape.yml",
    "linux/sudo_watch_stopped.yml",
    "linux/sudo_without_change_ticket.yml",
    "network/firewall_denied_egress.yml",
    "network/firewall_inside_exposed.yml",
    "network/firewall_port_scan.yml",
    "network/firewall_spray.yml",
    "network/firewall_sweep.yml",
    "network/router_configured_from_outside.yml",
    "network/router_login_guessing.yml",
    "network/zeek_admin_sweep.yml",
    "network/zeek_bytes_out.yml",
    "network/zeek_dns_many_names.yml",
    "network/zeek_dns_tunnel.yml",
    "network/zeek_icmp_bytes.yml",
    "network/zeek_program_from_address.yml",
    "network/zeek_ssh_guessing.yml",
    "web/web_admin_page_from_outside.yml",
    "web/web_bulk_download.yml",
    "web/web_command_injection.yml",
    "web/web_expression_injection.yml",
    "web/web_jndi_lookup.yml",
    "web/web_known_hole.yml",
    "web/web_login_guessing.yml",
    "web/web_missing_pages.yml",
    "web/web_path_traversal.yml",
    "web/web_scanner_agent.yml",
    "web/web_script_uploaded.yml",
    "web/web_secret_file.yml",
    "web/web_server_errors.yml",
    "web/web_shell_request.yml",
    "web/web_shellshock.yml",
    "web/web_sql_injection.yml",
    "web/web_system_file.yml",
    "web/web_upload_then_run.yml",
    "windows/win_accessibility_debugger.yml",
    "windows/win_account_created_with_rights.yml",
    "windows/win_amsi_bypass.yml",
    "windows/win_bitsadmin_download.yml",
    "windows/win_certutil_download.yml",
    "windows/win_defender_off.yml",
    "windows/win_defender_policy.yml",
    "windows/win_defender_weakened.yml",
    "windows/win_directory_replicated.yml",
    "windows/win_directory_taken.yml",
    "windows/win_discovery_burst.yml",
    "windows/win_domain_admin_added.yml",
    "windows/win_event_log_stopped.yml",
    "windows/win_explicit_spraying.yml",
    "windows/win_firewall_disabled.yml",
    "windows/win_getsystem.yml",
    "windows/win_hive_saved.yml",
    "windows/win_kerberoasting.yml",
    "windows/win_kerberos_enumeration.yml",
    "windows/win_kerberos_guessing.yml",
    "windows/win_local_guessing.yml",
    "windows/win_log_cleared.yml",
    "windows/win_log_cleared_by_tool.yml",
    "windows/win_logon_fan_out.yml",
    "windows/win_logon_guessing.yml",
    "windows/win_logon_spraying.yml",
    "windows/win_logon_with_other_credentials.yml",
    "windows/win_lsass_dumped.yml",
    "windows/win_lsass_read.yml",
    "windows/win_mshta_script.yml",
    "windows/win_offensive_script.yml",
    "windows/win_office_child.yml",
    "windows/win_powershell_download.yml",
    "windows/win_powershell_encoded.yml",
    "windows/win_psexec_service.yml",
    "windows/win_recovery_disabled.yml",
    "windows/win_regsvr32_script.yml",
    "windows/win_remote_desktop_enabled.yml",
    "windows/win_remote_desktop_from_outside.yml",
    "windows/win_run_key.yml",
    "windows/win_rundll32_script.yml",
    "windows/win_service_suspicious.yml",
    "windows/win_service_then_log_cleared.yml",
    "windows/win_shadow_copies_deleted.yml",
    "windows/win_share_collected.yml",
    "windows/win_task_command.yml",
    "windows/win_task_registered.yml",
    "windows/win_uac_bypass_class.yml",
    "windows/win_wdigest_enabled.yml",
    "windows/win_web_server_shell.yml",
    "windows/win_wmi_remote_shell.yml",
    "windows/win_wmi_subscription.yml",
];

/// All built-in documents, members before the correlations that name them.
pub fn rules() -> Vec<RuleFileDocument> {
    let all = FILES.iter();
    let all =
        all.flat_map(|(path, text)| RuleFileDocument::split(text, &format!("builtin:{path}")));
    members_first(all.collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A rule that is in the folder but not in the binary would never run.
    #[test]
    fn every_rule_of_the_folder_is_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let found = weir_manage::read_path(&root).expect("the rules can be read");
        assert_eq!(found.len(), super::rules().len());
    }

    /// Analysts need to read why a rule exists, when it is wrong, and which events it matches.
    #[test]
    fn every_rule_states_its_purpose_and_has_a_story() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        for (path, text) in super::FILES {
            for document in text.split("---\n") {
                let key = |key: &str| document.lines().any(|line| line.starts_with(key));
                assert!(
                    ["id: ", "name: ", "status: "].into_iter().all(key),
                    "{path}"
                );
                if document.ends_with("level: informational\n") {
                    continue; // A member: it raises alerts only through a correlation.
                }
                let keys = ["references:", "tags:", "falsepositives:", "level: "];
                assert!(keys.into_iter().all(key), "{path}: {keys:?}");
                let tags = document.lines().filter(|line| line.contains("- attack."));
                let (techniques, tactics): (Vec<_>, Vec<_>) =
                    tags.partition(|tag| tag.contains("attack.t1"));
                assert!(!techniques.is_empty() && !tactics.is_empty(), "{path}");
            }
            let story = root.join(path).with_extension("md");
            let story = std::fs::read_to_string(&story).unwrap_or_default();
            assert!(story.contains("\n    + alert  "), "{path} has no story");
        }
    }
}
