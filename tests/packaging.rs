//! The files in `packaging/` say what the program does: commands, paths, ports and times.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use postrider::config::Settings;

fn read(file: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file)).unwrap()
}

/// Whether the program knows a command with these words.
fn is_command(words: &[&str]) -> bool {
    Command::new(env!("CARGO_BIN_EXE_postrider")).args(words).arg("--help").output().unwrap().status.success()
}

#[test]
fn commands_and_flags_exist() {
    assert!(is_command(&["serve"]) && is_command(&["health"]));
    assert!(!is_command(&["no-such-command"]), "the question can be answered with no");
    let help = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in ["--config", "--data"] {
        assert!(help.contains(flag) && read("systemd/postrider.service").contains(flag), "{flag}");
    }
    assert!(read("Dockerfile").contains(r#"CMD ["postrider", "health"]"#) && read("Dockerfile").contains(r#"CMD ["serve"]"#));
    assert!(read("kubernetes/postrider.yaml").contains(r#"args: ["serve", "--config", "/etc/postrider/postrider.toml"]"#));
}

/// The settings inside the config map are settings.
#[test]
fn settings_are_read() {
    let manifests = read("kubernetes/postrider.yaml");
    let block = manifests.split_once("postrider.toml: |\n").unwrap().1.split_once("---").unwrap().0;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("postrider.toml");
    let text: String = block.lines().map(|line| format!("{}\n", line.trim_start().trim_start_matches("# allow = ").trim_start())).collect();
    let text: String = text.lines().filter(|line| line.contains('=')).map(|line| format!("{line}\n")).collect();
    fs::write(&file, &text).unwrap();
    let settings = Settings::read(Some(&file), [], &[]).unwrap();
    assert_eq!((settings.listen.port(), settings.data), (8080, PathBuf::from("/var/lib/postrider/data")), "{text}");
    for name in ["POSTRIDER_DATA", "POSTRIDER_LISTEN", "POSTRIDER_LOG_FORMAT"] {
        assert!(read("Dockerfile").contains(name), "{name}");
    }
    let variables = [("POSTRIDER_DATA", "/x"), ("POSTRIDER_LISTEN", "0.0.0.0:8080"), ("POSTRIDER_LOG_FORMAT", "json")];
    let read_back = Settings::read(None, variables.map(|(name, value)| (name.to_owned(), value.to_owned())), &[]).unwrap();
    assert_eq!((read_back.data, read_back.listen.port()), (PathBuf::from("/x"), 8080));
}

/// A stop must have time for what is in flight.
#[test]
fn a_stop_is_given_more_time_than_it_needs() {
    let needed = Settings::default().drain_s;
    let number_after = |text: &str, words: &str| -> u64 {
        let rest = text.split_once(words).unwrap_or_else(|| panic!("no `{words}`")).1;
        rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    for (file, words) in [
        ("systemd/postrider.service", "TimeoutStopSec="),
        ("compose.yaml", "stop_grace_period:"),
        ("kubernetes/postrider.yaml", "terminationGracePeriodSeconds:"),
    ] {
        assert!(number_after(&read(file), words) > needed + 5, "{file}");
    }
}

#[test]
fn no_two_servers_share_a_volume_and_none_is_root() {
    let manifests = read("kubernetes/postrider.yaml");
    assert!(manifests.contains("replicas: 1\n") && manifests.contains("kind: StatefulSet"));
    assert!(manifests.contains("runAsNonRoot: true") && manifests.contains("readOnlyRootFilesystem: true"));
    assert!(read("Dockerfile").contains("USER 10001:10001") && read("systemd/postrider.service").contains("DynamicUser=yes"));
    for probe in ["/readyz", "/healthz"] {
        assert!(manifests.contains(probe), "{probe}");
    }
}
