//! Help, example, completions and man pages: all made from one table, and reviewed here when it changes.

use std::process::Command;

use crate::process::{fails, halcyond};

fn prints(arguments: &[&str]) -> String {
    let output = halcyond().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help() {
    insta::assert_snapshot!("help", prints(&["--help"]));
    insta::assert_snapshot!("reports_help", prints(&["reports", "--help"]) + &prints(&["reports", "show", "--help"]));
    insta::assert_snapshot!("serve_help", prints(&["serve", "--help"]));
}

#[test]
fn config_example() {
    insta::assert_snapshot!("config_example", prints(&["config", "example"]));
}

#[test]
fn config_check_shows_what_holds_and_who_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("halcyond.toml");
    let text =
        "data_folder = \"data\"\npublic_host = \"localhost\"\n[tls]\ndevelopment = true\n[mail]\nfolder = \"mail\"\n";
    std::fs::write(&file, text).unwrap();
    let check = |command: &mut Command| {
        let output = command.args(["config", "check", "--log-level", "debug", "--config"]).arg(&file).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    let shown = check(halcyond().env("HALCYOND_LIMITS_LOOKUPS_PER_DAY", "300"));
    // Columns move with the length of the folder's name.
    let shown: Vec<String> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    insta::assert_snapshot!("config_check", shown.join("\n"));
    assert!(!folder.path().join("data").exists(), "a check makes nothing");
}

#[test]
fn arguments_that_are_none_are_the_users_to_mend() {
    for arguments in [&["serve", "--no-such-flag"][..], &["server"], &[]] {
        let mut command = halcyond();
        command.args(arguments);
        let (code, words) = fails(command);
        assert_eq!(code, 1, "{arguments:?}: {words}");
        assert!(!words.is_empty());
    }
}

#[test]
fn completions_and_man_pages_know_the_flags() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(prints(&["completions", shell]).contains("listen-courier"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    prints(&["man", folder.path().to_str().unwrap()]);
    let page = std::fs::read_to_string(folder.path().join("halcyond-serve.1")).unwrap();
    assert!(page.contains("HALCYOND_LISTEN_COURIER"), "{page}");
}
