//! A server whose disk loses power, fails or is full.

use halcyon_crash::bad_disk::{self, Expiry, Syncs};

use crate::programs::{halcyond, has_fuse};

/// Campaigns in which a disk whose syncs do nothing may have luck.
const LYING_CAMPAIGNS: usize = 8;

/// I10: a power cut takes what was not synced, and nothing that was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_nothing_that_was_accepted() {
    if !has_fuse() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let campaign = bad_disk::lost_syncs(&halcyond(), folder.path(), 4, Syncs::Honest).await.unwrap();
    assert!(campaign.is_clean(), "{campaign}");
}

/// A test of the test: a disk whose syncs do nothing loses what was accepted, and the ledger or the server notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_lies_is_noticed() {
    if !has_fuse() {
        return;
    }
    // What a cut takes is a matter of luck, and what was delivered in time is not missed.
    for _ in 0..LYING_CAMPAIGNS {
        let folder = tempfile::tempdir().unwrap();
        let campaign = bad_disk::lost_syncs(&halcyond(), folder.path(), 4, Syncs::Lying).await;
        if !campaign.is_ok_and(|campaign| campaign.report.verdict.lost.is_empty()) {
            return;
        }
    }
    panic!("nothing was missed, though no sync did anything");
}

/// COU-44: a failed sync of the mailboxes stops accepting, and is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_stops_the_mailboxes() {
    if !has_fuse() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = bad_disk::failed_sync(&halcyond(), folder.path()).await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// I10: a failed sync of the directory stops changes, and is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_stops_the_directory() {
    if !has_fuse() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = bad_disk::failed_directory_sync(&halcyond(), folder.path()).await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// COU-44: on a full disk senders keep what they have, reading and acknowledging go on, and it recovers by itself. That expiry goes on is
/// seen by `cargo xtask crash --full-disk`, whose server looks often enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_senders_alone() {
    if !has_fuse() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = bad_disk::full_disk(&halcyond(), folder.path(), Expiry::AsShipped).await.unwrap();
    assert!(report.is_clean(), "{report}");
}
