//! The quickstart as a script sees it: lines in, lines out, exit code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs it with these lines in the pipe.
fn quickstart(data: &Path, arguments: &[&str], lines: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halcyon-quickstart"));
    command.arg("--data").arg(data).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The events of a run that ended well.
fn events(output: &Output) -> Vec<String> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    out.lines().map(str::to_owned).collect()
}

fn set<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    lines.into_iter().map(str::to_owned).collect()
}

/// SND-1, RCV-5, RCV-6: every line is at every other device, with device, suite and sender, and bob's devices say so. A second start
/// finds the same people and what they said.
#[test]
fn lines_arrive_everywhere_and_are_kept() {
    let above = tempfile::tempdir().unwrap();
    let data = above.path().join("data");
    let first = quickstart(&data, &[], "hello\nhow are you?\n");
    let lines = events(&first);
    for text in ["hello", "how are you?"] {
        let of_text: BTreeSet<String> =
            lines.iter().filter(|line| line.ends_with(&format!(": {text}"))).cloned().collect();
        let expected = [
            "sent from alice phone",
            "arrived at bob phone from alice phone (pq3)",
            "arrived at bob tablet from alice phone (pq3)",
            "arrived at alice laptop from alice phone (pq3)",
            "delivered to bob phone, says its receipt at alice phone",
            "delivered to bob tablet, says its receipt at alice phone",
        ];
        assert_eq!(of_text, expected.iter().map(|start| format!("{start}: {text}")).collect());
    }
    assert_eq!(lines.len(), 12, "{lines:#?}");
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(said.contains(&format!("data folder: {}", data.display())), "{said}");

    let second = quickstart(&data, &[], "/history\n/as bob tablet\nfine\n");
    let lines = events(&second);
    assert_eq!(
        lines[..2],
        ["history of alice phone: alice phone: hello", "history of alice phone: alice phone: how are you?"]
    );
    assert!(lines.contains(&"arrived at alice laptop from bob tablet (pq3): fine".to_owned()), "{lines:#?}");
    assert!(
        lines.contains(&"delivered to alice laptop, says its receipt at bob tablet: fine".to_owned()),
        "{lines:#?}"
    );

    let fresh = quickstart(&data, &["--fresh"], "/history\n");
    assert_eq!(events(&fresh), Vec::<String>::new());
}

/// REP-16, REP-31: a device that lost its sessions asks for what it cannot open; that is said beside the events, and the message comes.
#[test]
fn lost_sessions_mend() {
    let data = tempfile::tempdir().unwrap();
    let lines = "one\n/as bob tablet\ntwo\n/as alice phone\n/lose tablet\nthree\n/as bob tablet\n/history\n";
    let output = quickstart(data.path(), &[], lines);
    let (events, beside) = (events(&output), String::from_utf8_lossy(&output.stderr));
    assert!(events.contains(&"arrived at bob tablet from alice phone (pq3): three".to_owned()), "{events:#?}");
    assert!(beside.contains("bob tablet: a message does not open yet; it is asked for again"), "{beside}");
    assert!(beside.contains("bob tablet: repairing 1 message from alice@example.org (phone) ..."), "{beside}");
    let history = [
        "history of bob tablet: alice phone: one",
        "history of bob tablet: bob tablet: two",
        "history of bob tablet: alice phone: three",
    ];
    assert_eq!(events[events.len() - 3..], history);
}

/// COU-53: what is sent to a device that is offline waits, and comes when it is back; nobody waits for it in the meantime.
#[test]
fn an_offline_device_gets_it_later() {
    let data = tempfile::tempdir().unwrap();
    let output = quickstart(data.path(), &[], "/offline tablet\nare you there?\n/online tablet\n");
    let lines = events(&output);
    let place = |start: &str| {
        lines.iter().position(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {lines:#?}"))
    };
    assert!(place("delivered to bob phone") < place("arrived at bob tablet"));
    assert!(place("arrived at bob tablet") < place("delivered to bob tablet"));

    // It may still be offline at the end: that is said, and is no failure.
    let output = quickstart(data.path(), &[], "/offline tablet\ngood night\n");
    let lines = events(&output);
    assert!(!lines.iter().any(|line| line.starts_with("arrived at bob tablet")), "{lines:#?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("offline"));

    // The next start delivers it.
    let lines = events(&quickstart(data.path(), &[], "good morning\n"));
    assert!(lines.contains(&"arrived at bob tablet from alice phone (pq3): good night".to_owned()), "{lines:#?}");
}

/// SUI: `pair` is used when it is asked for, and not otherwise.
#[test]
fn a_suite_can_be_forced() {
    let data = tempfile::tempdir().unwrap();
    let lines = events(&quickstart(data.path(), &[], "/suite pair\nold\n/suite auto\nnew\n"));
    let arrived: BTreeSet<&str> =
        lines.iter().filter(|line| line.starts_with("arrived at bob phone")).map(String::as_str).collect();
    assert_eq!(
        set(arrived),
        set(["arrived at bob phone from alice phone (pair): old", "arrived at bob phone from alice phone (pq3): new"])
    );
}

/// A script with a mistake in it does not look as if it had worked; what was right in it is done.
#[test]
fn a_mistake_in_a_script_is_a_failure() {
    let data = tempfile::tempdir().unwrap();
    let output = quickstart(data.path(), &[], "/sned hello\nhello\n");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{lines}");
    assert!(lines.contains("problem: there is no command /sned"), "{lines}");
    assert!(lines.contains("delivered to bob tablet"), "{lines}");
}

/// SND-2: what an offline sender wrote stays in its outbox, so the devices that are online do not have it; the next start sends it.
#[test]
fn an_offline_sender_delivers_nothing() {
    let data = tempfile::tempdir().unwrap();
    let output = quickstart(data.path(), &[], "/offline alice phone\nfrom the tunnel\n");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{lines}");
    assert!(lines.contains("problem: a message did not arrive at bob phone: from the tunnel"), "{lines}");

    let lines = events(&quickstart(data.path(), &[], "out again\n"));
    assert!(lines.contains(&"arrived at bob phone from alice phone (pq3): from the tunnel".to_owned()), "{lines:#?}");
}

/// A longer script, faster than one message at a time, and a text that is too long for one.
#[test]
fn a_long_script_arrives_in_order() {
    let data = tempfile::tempdir().unwrap();
    let script: String = (0..200).map(|number| format!("line {number}\n")).collect();
    let lines = events(&quickstart(data.path(), &[], &script));
    let arrived: Vec<&String> = lines.iter().filter(|line| line.starts_with("arrived at bob tablet")).collect();
    let expected: Vec<String> =
        (0..200).map(|number| format!("arrived at bob tablet from alice phone (pq3): line {number}")).collect();
    assert_eq!(arrived, expected.iter().collect::<Vec<_>>());
    assert_eq!(lines.iter().filter(|line| line.starts_with("delivered to")).count(), 400);

    let output = quickstart(data.path(), &[], &format!("{}\n", "x".repeat(12_001)));
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("problem: not sent"));
}

/// Its devices are agents like any other: what another terminal asks of one is done, and arrives on the screen.
#[cfg(unix)]
#[test]
fn commands_reach_its_devices() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;

    let above = tempfile::tempdir().unwrap();
    let data = above.path().join("data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_halcyon-quickstart"));
    command.arg("--data").arg(&data).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env("XDG_RUNTIME_DIR", above.path()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut said = said.lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("from another terminal")), "it is ready");
    let socket = std::fs::read_to_string(data.join("bob-phone").join("agent.lock")).unwrap();
    let mut agent = UnixStream::connect(socket).unwrap();
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"to":["alice@example.org"],"text":"from elsewhere"}}"#;
    writeln!(agent, "{call}").unwrap();
    let mut answer = String::new();
    BufReader::new(agent).read_line(&mut answer).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["result"][0]["done"], true, "{answer}");
    let shown = BufReader::new(child.stdout.take().unwrap());
    let arrived: BTreeSet<String> =
        shown.lines().map(Result::unwrap).filter(|line| line.starts_with("arrived")).take(3).collect();
    let everywhere = ["alice phone", "alice laptop", "bob tablet"];
    assert_eq!(arrived, everywhere.map(|at| format!("arrived at {at} from bob phone (pq3): from elsewhere")).into());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_strangers_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let output = quickstart(folder.path(), &["--fresh"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(folder.path().join("thesis.txt").exists());
}
