//! Agents, `curl` and the verbs of `weir` as TLS clients.

use std::path::Path;
use std::process::Command;

use weir_schema::Transport;

use super::support::command::{Finished, finish, weir as weir_command};
use super::support::outside::find;
use super::support::pki::Authority;
use super::support::{Weir, config, config_with_streams, frames, skipped};

#[test]
fn agents_and_https_use_tls_and_still_need_the_token() {
    let name = "agents_and_https_use_tls_and_still_need_the_token";
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let server = authority.issue("localhost");
    let tls = server.keys() + "agent = true\nhttp = true\n";
    let weir = Weir::start(&data, &config_with_streams(0, &tls, ""));
    let file = folder.path().join("lines");
    std::fs::write(&file, "<13>1 - h a - - - one\n<13>1 - h a - - - two\n").expect("a file");
    let agent = format!("localhost:{}", weir.agent.port());
    let deliver = |ca: Option<&Path>| {
        let mut send = weir_command(["send", "--patience", "5", "--to", &agent]);
        send.arg("--data-dir").arg(&data);
        if let Some(ca) = ca {
            send.arg("--ca").arg(ca);
        }
        finish(send.arg(&file))
    };
    let sent = deliver(Some(&authority.file));
    assert!(sent.out.contains("2 lines acknowledged"), "{sent:?}");
    for ca in [Some(other.file.as_path()), None] {
        assert_ne!(deliver(ca).code, Some(0), "{ca:?}");
    }
    let Some(curl) = find("curl") else {
        return skipped(name, "curl");
    };
    let status = |arguments: &[&str]| {
        let mut command = Command::new(&curl);
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        command.args(arguments);
        let url = format!("https://localhost:{}/metrics", weir.http.port());
        let reply = command.arg(url).output().expect("it can be run");
        String::from_utf8_lossy(&reply.stdout).into_owned()
    };
    let ca = authority.file.display().to_string();
    let token = format!("authorization: Bearer {}", weir.token);
    assert_eq!(status(&["--cacert", &ca, "-H", &token]), "200");
    assert_eq!(status(&["--cacert", &ca]), "401");
    assert_eq!(
        status(&["--cacert", &other.file.display().to_string(), "-H", &token]),
        "000"
    );
    weir.kill();
    assert_eq!(frames(&data, Transport::Agent).len(), 2);
}

/// Verbs that query a server, an exit code, and a part of the output.
const VERBS: &[(&str, i32, &str)] = &[
    ("health", 0, "ok"),
    ("top --once --interval 1", 0, "STAGE"),
    ("tap --seconds 1", 0, "\"end\""),
    (
        "explain 00000000000000000000000000000000",
        1,
        "knows no alert",
    ),
    ("rules disable nosuch", 1, "no rule has the id"),
    ("sinks list", 0, "no sink is configured"),
    ("what-if --list", 0, "GAINED"),
];

const UNKNOWN_AUTHORITY: &str = "the authority of its certificate is not known here";

/// Runs a verb that finds the server and its authority in the environment.
fn query(args: &str, data: &Path, url: &str, ca: Option<&Path>) -> Finished {
    let mut command = weir_command(args.split(' '));
    command.env("WEIR_URL", url).env("WEIR__DATA_DIR", data);
    match ca {
        Some(ca) => command.env("WEIR_CA", ca),
        None => command.env_remove("WEIR_CA"),
    };
    finish(&mut command)
}

#[test]
fn every_verb_that_queries_a_server_verifies_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let tls = authority.issue("localhost").keys() + "http = true\n";
    let weir = Weir::start(&data, &config_with_streams(0, &tls, ""));
    let plain = Weir::start(&folder.path().join("plain"), &config(""));
    let url = |scheme: &str, host: &str, server: &Weir| {
        format!("{scheme}://{host}:{}", server.http.port())
    };
    let https = url("https", "localhost", &weir);
    let trusted = Some(authority.file.as_path());
    for (args, code, part) in VERBS {
        let ended = query(args, &data, &https, trusted);
        assert_eq!(ended.code, Some(*code), "{args}: {ended:?}");
        let output = format!("{}{}", ended.out, ended.err);
        assert!(output.contains(part), "{args}: {output}");
    }
    let other_name = url("https", "127.0.0.1", &weir);
    for (url, ca, reason) in [
        (&https, Some(other.file.as_path()), UNKNOWN_AUTHORITY),
        (&https, None, UNKNOWN_AUTHORITY),
        (&other_name, trusted, "not valid for name"),
        (
            &url("https", "localhost", &plain),
            trusted,
            "does not speak TLS",
        ),
        (
            &url("http", "localhost", &weir),
            trusted,
            "write `https://`",
        ),
    ] {
        for verb in ["health", "tap --seconds 1"] {
            let ended = query(verb, &data, url, ca);
            assert_eq!(ended.code, Some(69), "{url}: {ended:?}");
            let output = format!("{}{}", ended.out, ended.err);
            assert!(output.contains(reason), "{url}: {output}");
        }
    }
    weir.kill();
    plain.kill();
}
