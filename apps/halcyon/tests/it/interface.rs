//! Help, completions and man pages: what is promised, before anything is done.

use crate::world::{halcyon, run, text};

#[test]
fn help_is_stable() {
    let mut help = String::new();
    for command in [
        &[][..],
        &["register"],
        &["link"],
        &["approve"],
        &["send"],
        &["share-name"],
        &["listen"],
        &["history"],
        &["conversations"],
        &["read"],
        &["typing"],
        &["mute"],
        &["block"],
        &["accept"],
        &["delete"],
        &["restore"],
        &["report"],
        &["contacts"],
        &["settings"],
        &["settings", "set"],
        &["devices"],
        &["handles"],
        &["lookup"],
        &["security"],
        &["suites"],
        &["alerts"],
        &["sessions"],
        &["sessions", "reset"],
        &["counters"],
        &["doctor"],
    ] {
        let mut with_help = command.to_vec();
        with_help.push("--help");
        let output = run(halcyon(&with_help));
        assert!(output.status.success());
        help.push_str(&format!("$ halcyon {}\n{}\n", with_help.join(" "), text(&output.stdout)));
    }
    insta::assert_snapshot!(help);
}

/// A mistake in the command line is the person's, so it is 1 and not clap's 2.
#[test]
fn a_typing_mistake_is_a_user_error() {
    assert_eq!(run(halcyon(&["sned"])).status.code(), Some(1));
    assert_eq!(run(halcyon(&["send"])).status.code(), Some(1));
    assert_eq!(run(halcyon(&["--version"])).status.code(), Some(0));
}

#[test]
fn completions_and_manual_come_from_the_same_source() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(halcyon(&["completions", shell])).stdout);
        assert!(script.contains("register") && script.contains("passphrase-fd"), "{shell}");
    }
    let page = text(&run(halcyon(&["man"])).stdout);
    assert!(page.contains(".TH halcyon 1") && page.contains("Exit codes"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let written = run(halcyon(&["man", "--folder", folder.path().to_str().unwrap()]));
    assert!(written.status.success());
    assert!(folder.path().join("halcyon-send.1").exists());
}
