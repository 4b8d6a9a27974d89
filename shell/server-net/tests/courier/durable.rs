//! What was accepted is there after the server is gone (COU-41, COU-53, I10).

use std::path::Path;

use halcyon_courier::{ClientFrame, Status};
use halcyon_testkit::courier::Town;
use tempfile::TempDir;

use crate::world::{Server, now};

/// COU-41, COU-53: after a restart everything that was not acknowledged comes, and nothing else.
#[tokio::test]
async fn a_restart_loses_nothing() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let (mut a, mut b) = (server.online(&alice).await, server.online(&bob).await);
    for n in 0..10 {
        let request = a.request(&town, &[&bob], &n.to_string(), now());
        assert_eq!(a.send(request).await, [Status::Accepted]);
    }
    assert_eq!(b.texts(10).await.len(), 10);
    b.acknowledge(4).await;
    b.keep_alive().await;
    server.shut_down().await;

    let server = Server::start(folder.path(), &town).await;
    let mut b = server.online(&bob).await;
    assert_eq!(b.texts(6).await, ["4", "5", "6", "7", "8", "9"]);
    server.shut_down().await;
}

/// COU-41, I10: whenever the process dies, what it answered as accepted is in the folder that it leaves: here a copy, made
/// after each of many answers while other sends are being written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing_that_was_accepted() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let mut a = server.online(&alice).await;
    for n in 0..150 {
        let request = a.request(&town, &[&bob], &n.to_string(), now());
        a.write(ClientFrame::Send(request.into_unchecked())).await;
        if n % 30 != 29 {
            continue;
        }
        // One of the sends under way is answered; others are on their way to the disk.
        let accepted = a.sent().await.id;
        let crashed = TempDir::new().unwrap();
        copy(folder.path(), crashed.path());
        let after = Server::start(crashed.path(), &town).await;
        let mut b = after.online(&bob).await;
        let expected: Vec<String> = (0..accepted).map(|n| n.to_string()).collect();
        assert_eq!(b.texts(expected.len()).await, expected);
        after.shut_down().await;
    }
    server.shut_down().await;
}

/// Copies a data folder as a crash leaves it: the log first, which is what a commit was synced to, so that a page that is
/// written back in between is in it, too.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in ["mailboxes.db-wal", "mailboxes.db"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}
