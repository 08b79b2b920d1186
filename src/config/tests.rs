//! Tests of the configuration as a whole: its problems, its defaults, the environment.

use weir_schema::Span;

use super::*;

fn problems(text: &str) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("it can be written");
    match Config::load(Some(file.path())) {
        Ok(_) => Vec::new(),
        Err(bad) => bad.problems,
    }
}

#[test]
fn an_empty_file_is_a_configuration() {
    assert!(problems("").is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let problems = problems("[journal]\nsegment_mb = 3\n");
    assert!(problems[0].contains("line 2"), "{problems:?}");
    assert!(problems[0].contains("segment_mib"), "{problems:?}");
}

#[test]
fn all_problems_are_reported_together() {
    let text =
        "[graph]\nworkers = 0\n[[source]]\nname = \"a\"\ntransport = \"dtls\"\nzone = \"Mars\"\n";
    assert_eq!(problems(text).len(), 3);
}

#[test]
fn tls_needs_both_certificate_and_key() {
    let pair = "[tls]\ncertificate = \"a.crt\"\nkey = \"a.key\"\n";
    for (text, expected) in [
        (pair, 0),
        ("[tls]\ncertificate = \"a.crt\"\n", 1),
        ("[tls]\nkey = \"a.key\"\n", 1),
        (
            "[tls]\nrelp = true\nagent = true\nhttp = true\nclient_ca = \"ca\"\n",
            4,
        ),
        ("[listen]\nsyslog_tls = \"127.0.0.1:6514\"\n", 1),
        ("[tls]\nclient_certificates = \"maybe\"\n", 1),
        // Without `client_ca`, no sender is asked for a certificate.
        ("[tls]\nclient_certificates = \"required\"\n", 1),
        (
            "[connections]\nmax = 0\nagents_per_peer_max = 257\nhandshake = \"0s\"\n",
            3,
        ),
        // W9: a share is at least one connection and at most all of them.
        (
            "[connections]\nmax = 9\nper_peer_max = 10\nper_network_max = 0\nhttp_per_peer_max = 0\n",
            3,
        ),
        ("[connections]\nmax = 9\nper_peer_max = 9\n", 0),
        (
            "[[source]]\nname = \"a\"\ntransport = \"tcp\"\ncertificate = \"a\"\n",
            1,
        ),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), expected, "{text}: {found:?}");
    }
    let with = |more: &str| toml::from_str::<Config>(&format!("{pair}{more}")).expect("TOML");
    let address = |config: &Config| config.syslog_tls().map(|at| at.port());
    assert_eq!(address(&with("")), Some(6514));
    assert_eq!(address(&with("[listen]\nsyslog_tls = \"off\"\n")), None);
    assert_eq!(address(&Config::default()), None);
}

#[test]
fn placeholders_are_lists_of_texts_and_numbers() {
    let text = "[detection.placeholders]\nAdmins = [\"root\", \"admin*\", 5]\n";
    assert!(problems(text).is_empty(), "{:?}", problems(text));
    for bad in [
        "Admins = []",
        "\"A B\" = [\"x\"]",
        "Admins = [1.5]",
        "Admins = \"x\"",
    ] {
        let text = format!("[detection.placeholders]\n{bad}\n");
        assert_eq!(problems(&text).len(), 1, "{bad}");
    }
}

#[test]
fn a_source_over_http_is_found_by_its_name() {
    let text = "[[source]]\nname = \"billing\"\ntransport = \"http\"\npeers = [\"10.0.0.0/8\"]\n";
    assert!(problems(text)[0].contains("peers"), "{:?}", problems(text));
    let text = "[[source]]\nname = \"billing\"\ntenant = \"acme\"\ntransport = \"http\"\n";
    let config: Config = toml::from_str(text).expect("a configuration");
    assert_eq!(
        config.http_source("billing").map(|s| &*s.tenant),
        Some("acme")
    );
    assert!(config.http_source("other").is_none());
}

#[test]
fn the_environment_overrides_the_file() {
    let mut table: toml::Table = "[graph]\nworkers = 1\n".parse().expect("TOML");
    let variables = [
        ("WEIR__GRAPH__WORKERS".to_owned(), "3".to_owned()),
        ("WEIR__TIME__HORIZON".to_owned(), "2h".to_owned()),
    ];
    load::overlay(&mut table, variables.into_iter());
    let config: Config = table.try_into().expect("a configuration");
    assert_eq!(config.graph.workers, 3);
    assert_eq!(config.time.horizon.0, Span::seconds(7200));
}

/// The message for a file of this text and these variables; empty if there is no problem.
fn message(text: &str, variables: &[(&str, &str)]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("it can be written");
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    match Config::load_with(Some(file.path()), &variables) {
        Ok(_) => String::new(),
        Err(bad) => bad
            .to_string()
            .replace(&file.path().display().to_string(), "FILE"),
    }
}

#[test]
fn a_problem_of_the_environment_names_its_variable() {
    let good = "[graph]\nworkers = 1\n";
    let bad = "[graph]\nworkers = 0\n";
    for (text, variables, parts, absent) in [
        (good, &[("WEIR__GRAPH__WORKERS", "2")][..], &[][..], "x"),
        (
            good,
            &[("WEIR__LISTEN__HTP", "off"), ("WEIR__GRAPH__WORKERS", "2")],
            &[
                "the environment has problems:\n  WEIR__LISTEN__HTP: ",
                "htp",
            ],
            "FILE",
        ),
        (
            good,
            &[("WEIR__GRAPH__WORKERS", "0"), ("WEIR__TIME__IDLE", "soon")],
            &["WEIR__GRAPH__WORKERS: graph.workers", "WEIR__TIME__IDLE: "],
            "FILE",
        ),
        (bad, &[("WEIR__GRAPH__WORKERS", "2")], &[], "x"),
        (
            bad,
            &[("WEIR__TIME__IDLE", "10s")],
            &["FILE has problems:\n  graph.workers"],
            "WEIR__",
        ),
        (
            bad,
            &[("WEIR__LISTEN__HTP", "off")],
            &["FILE and the environment has", "WEIR__LISTEN__HTP: "],
            "WEIR__GRAPH",
        ),
        (
            "",
            &[("WEIR__TLS__CERTIFICATE", "a"), ("WEIR__TLS__KEY", "b")],
            &[],
            "x",
        ),
    ] {
        let message = message(text, variables);
        assert_eq!(
            message.is_empty(),
            parts.is_empty(),
            "{variables:?}: {message}"
        );
        for part in parts {
            assert!(
                message.contains(part),
                "{variables:?}, not {part:?}: {message}"
            );
        }
        assert!(!message.contains(absent), "{variables:?}: {message}");
    }
}

#[test]
fn plain_listeners_beyond_loopback_are_warned_of() {
    let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\n";
    for (text, keys) in [
        ("".to_owned(), &[][..]),
        (
            "[listen]\nsyslog_udp = \"0.0.0.0:1\"\nhttp = \"[::1]:1\"\n".to_owned(),
            &[],
        ),
        (
            "[listen]\nhttp = \"[::ffff:127.0.0.1]:1\"\n".to_owned(),
            &[],
        ),
        (
            "[listen]\nsyslog_tcp = \"0.0.0.0:1\"\nrelp = \"[::]:2\"\nagent = \"10.0.0.1:3\"\n\
             http = \"0.0.0.0:4\"\n"
                .to_owned(),
            &["syslog_tcp", "relp", "agent", "http"],
        ),
        (
            format!("[listen]\nhttp = \"0.0.0.0:4\"\n{tls}http = true\n"),
            &[],
        ),
        (
            format!("[listen]\nagent = \"0.0.0.0:4\"\n{tls}http = true\n"),
            &["agent"],
        ),
    ] {
        let config: Config = toml::from_str(&text).expect("a configuration");
        let warnings = config.warnings();
        assert_eq!(warnings.len(), keys.len(), "{text}: {warnings:?}");
        for (warning, key) in warnings.iter().zip(keys) {
            assert!(warning.starts_with(&format!("listen.{key}: ")), "{warning}");
        }
    }
}
