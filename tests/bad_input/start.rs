//! Configurations and data folders with which the server does not start.

use super::fresh;
use super::support::{Weir, config};

#[test]
fn an_unusable_configuration_ends_the_start_with_78() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, word) in [
        ("[journal]\nsegment_mb = 3\n", "segment_mb"),
        ("colour = 1\n", "colour"),
        ("[listen]\nhttp = \"nowhere\"\n", "nowhere"),
        ("[graph]\nworkers = 0\n", "graph.workers"),
        ("not toml", "line 1"),
    ] {
        let refused = Weir::try_start(folder.path(), text)
            .err()
            .expect("it is refused");
        assert_eq!(refused.code, Some(78), "{}", refused.stderr);
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let (_folder, weir) = fresh();
    let refused = Weir::try_start(&weir.data, &config(""))
        .err()
        .expect("it is refused");
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    assert!(
        refused.stderr.contains("in use by another process"),
        "{}",
        refused.stderr
    );
    weir.assert_well();
    weir.stop();
}
