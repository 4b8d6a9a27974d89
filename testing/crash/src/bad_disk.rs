//! The server on a disk that loses power, fails a sync, or is full (I10, COU-41, COU-44).
//!
//! Owns three stories. The disk is [`crate::disk`]'s; people keep their own on one that is well.

use std::path::Path;
use std::time::{Duration, Instant};

use halcyon_client::error::{ApiError, VerificationError};
use rand::Rng as _;

use crate::disk::Disk;
use crate::disk::image::Loss;
use crate::kills::Report;
use crate::load::Load;
use crate::server::{Server, Setup};
use crate::town::{CATCH_UP_MAX, Town};

/// How long the server lives between two power cuts.
const LIFE_MS: std::ops::Range<u64> = 50..1_500;
/// How long a server may take to notice what is wrong with its disk, under load.
const NOTICE_MAX: Duration = Duration::from_secs(15);
/// How long nothing may be accepted once it has.
const REFUSING: Duration = Duration::from_secs(2);
/// What may still be on its way to the clients when it notices.
const SETTLING: Duration = Duration::from_millis(500);
/// Room that is left for the first messages of a story of a full disk.
const LAST_ROOM: u64 = 64 * 1024;
/// The file that the server holds back space with.
const RESERVE: &str = "mailboxes.reserve";
/// Room that is left when the disk is full: less than the reserve, so that it stays full, and enough for deleting and for the log of
/// the directory, which is written back at 4 MiB.
const DELETING_ROOM: u64 = 8 << 20;
/// What a lying disk lost never comes; nobody waits long for it.
const LIE_PATIENCE: Duration = Duration::from_secs(5);
/// A disk may keep all that was not synced, by luck: it is cut so often again until it does not.
const FURTHER_CUTS_MAX: usize = 10;
/// Envelopes that are accepted by a process whose log begins with what a failed sync lost.
const AFTERWARDS: usize = 20;
const POLL: Duration = Duration::from_millis(50);
const PROGRESS_EVERY: usize = 25;

/// What a campaign of power cuts came to.
#[derive(Debug, Default)]
pub struct CutReport {
    /// As after kills.
    pub report: Report,
    /// What the cuts took from the disk.
    pub loss: Loss,
}

impl CutReport {
    /// Returns whether the proof holds; cuts that took nothing prove nothing.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.report.is_clean() && self.loss.dropped > 0
    }
}

impl std::fmt::Display for CutReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.report)?;
        let Loss { dropped, torn, kept, names } = self.loss;
        write!(f, "unsynced_writes dropped {dropped}, torn {torn}, kept {kept}; names dropped {names}")
    }
}

/// Whether a disk's syncs do what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// They do.
    Honest,
    /// They say yes and do nothing, as some disks: the ledger must notice.
    Lying,
}

/// One server on a disk of ours, with people who talk. A story that fails drops it in this order: a disk is not let go of while a
/// server lives on it.
struct Stage {
    load: Load,
    town: Town,
    server: Server,
    setup: Setup,
    disk: Disk,
}

impl Stage {
    async fn set(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mount = folder.join("disk");
        std::fs::create_dir_all(&mount)?;
        let disk = Disk::mount(&mount)?;
        let setup = Setup::new(program, &disk.path().join("data"), &folder.join("mail"))?;
        let server = setup.start_well().await?;
        let town = Town::found(&folder.join("profiles"), &setup).await?;
        let load = Load::start(&town);
        Ok(Self { disk, setup, server, town, load })
    }

    /// The power goes, and comes back: the server is started on what survived.
    async fn cut(&mut self) -> anyhow::Result<Loss> {
        self.disk.cut_power();
        self.server.kill().await?;
        let loss = self.disk.restore()?;
        self.server = self.setup.start_well().await?;
        self.town.nudge().await;
        Ok(loss)
    }

    /// The process ends and is started again, on a machine that goes on.
    async fn restart_process(&mut self) -> anyhow::Result<()> {
        self.server.kill().await?;
        self.server = self.setup.start_well().await?;
        self.town.nudge().await;
        Ok(())
    }

    /// Everybody stops talking and catches up.
    async fn judge(mut self, report: &mut Report, patience: Duration) -> anyhow::Result<()> {
        report.refused = self.load.stop().await;
        report.caught_up = self.town.catch_up(patience).await?;
        report.verdict = self.town.verdict()?;
        self.town.leave().await;
        self.server.kill().await
    }
}

/// Cuts the power `cuts` times, and a few times more if that took nothing.
///
/// # Errors
/// There is no FUSE, or the server does not start on what a cut left.
pub async fn lost_syncs(program: &Path, folder: &Path, cuts: usize, syncs: Syncs) -> anyhow::Result<CutReport> {
    let mut stage = Stage::set(program, folder).await?;
    stage.disk.image().syncs_lie = syncs == Syncs::Lying;
    let mut campaign = CutReport::default();
    let began = Instant::now();
    let mut number = 0;
    while number < cuts || (campaign.loss.dropped == 0 && number < cuts + FURTHER_CUTS_MAX) {
        number += 1;
        let life = rand::thread_rng().gen_range(LIFE_MS);
        tokio::time::sleep(Duration::from_millis(life)).await;
        let Loss { dropped, torn, kept, names } = stage.cut().await?;
        campaign.loss.dropped += dropped;
        campaign.loss.torn += torn;
        campaign.loss.kept += kept;
        campaign.loss.names += names;
        campaign.report.restart_max = campaign.report.restart_max.max(stage.server.started_in());
        *campaign.report.deaths.entry("power".to_owned()).or_default() += 1;
        if number.is_multiple_of(PROGRESS_EVERY) || number >= cuts {
            crate::say(&format!("{number} of {cuts} power cuts, {} s", began.elapsed().as_secs()));
        }
    }
    let patience = if syncs == Syncs::Honest { CATCH_UP_MAX } else { LIE_PATIENCE };
    stage.judge(&mut campaign.report, patience).await?;
    Ok(campaign)
}

/// Fails one sync of the mailboxes: the server says so and takes nothing more. Its process is started again and accepts; then the
/// power goes, and nothing that was accepted is missing (COU-44, STO-7).
///
/// # Errors
/// It does not say so, or takes something, or there is no FUSE.
pub async fn failed_sync(program: &Path, folder: &Path) -> anyhow::Result<Report> {
    let mut stage = Stage::set(program, folder).await?;
    tokio::time::sleep(REFUSING).await;
    let (status, body) = stage.server.ask("/readyz").await?;
    anyhow::ensure!(status == 200, "not ready before anything happened: {body}");
    stage.disk.image().fail_sync_of = Some("mailboxes.db-wal".to_owned());
    let said = stage.server.says_within("a sync of the mailboxes failed", NOTICE_MAX).await;
    anyhow::ensure!(said, "the log does not say that a sync failed:\n{}", stage.server.log());
    let (status, body) = stage.server.ask("/readyz").await?;
    anyhow::ensure!(status == 503 && body.contains("failed sync"), "ready after a failed sync: {status} {body}");
    tokio::time::sleep(SETTLING).await;
    let accepted = stage.town.ledger.accepted();
    tokio::time::sleep(REFUSING).await;
    let since = stage.town.ledger.accepted() - accepted;
    anyhow::ensure!(since == 0, "{since} envelopes were accepted after a failed sync");
    anyhow::ensure!(stage.town.waiting()? > 0, "nobody waits, so nobody was refused");
    // What the next process reads is not all on the disk, and what it accepts stands behind that (STO-7).
    stage.restart_process().await?;
    let accepts = within(NOTICE_MAX, async || Ok(stage.town.ledger.accepted() > accepted + AFTERWARDS)).await?;
    anyhow::ensure!(accepts, "a restarted server accepts nothing");
    stage.cut().await?;
    let mut report = Report { restart_max: stage.server.started_in(), ..Report::default() };
    report.deaths.insert("failed sync".to_owned(), 1);
    stage.judge(&mut report, CATCH_UP_MAX).await?;
    Ok(report)
}

/// Fails one sync of the directory: whoever wants something changed gets an error that is worth a second try, the server says that it is
/// not ready, and after a power cut and a restart all goes on.
///
/// # Errors
/// It does not say so, or there is no FUSE.
pub async fn failed_directory_sync(program: &Path, folder: &Path) -> anyhow::Result<Report> {
    let mut stage = Stage::set(program, folder).await?;
    let newcomer = crate::town::handle("frank")?;
    let asks = stage.town.devices[0].client.clone();
    stage.disk.image().fail_sync_of = Some("directory.db-wal".to_owned());
    let refused = within(NOTICE_MAX, async || match asks.request_verification(&newcomer).await {
        Ok(_) => Ok(false),
        Err(VerificationError::Api(ApiError::Problem(problem))) => {
            anyhow::ensure!(problem.status >= 500, "a failed disk is called the person's fault: {}", problem.status);
            Ok(true)
        }
        Err(error) => Err(error.into()),
    });
    anyhow::ensure!(refused.await?, "a verification was begun on a directory that cannot be written");
    let said = stage.server.says_within("the directory takes no more changes", NOTICE_MAX).await;
    anyhow::ensure!(said, "the log does not say that the disk failed:\n{}", stage.server.log());
    let (status, body) = stage.server.ask("/readyz").await?;
    anyhow::ensure!(status == 503 && body.contains("directory"), "ready after a failed sync: {status} {body}");
    stage.cut().await?;
    anyhow::ensure!(asks.request_verification(&newcomer).await.is_ok(), "no verification after the restart");
    let mut report = Report { restart_max: stage.server.started_in(), ..Report::default() };
    report.deaths.insert("failed sync of the directory".to_owned(), 1);
    stage.judge(&mut report, CATCH_UP_MAX).await?;
    Ok(report)
}

/// How often a server looks for what expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Every ten minutes, as it is shipped: longer than anybody waits here.
    AsShipped,
    /// All the time: it is built with its feature `failpoints`.
    Often,
}

/// Fills the disk: senders keep what they have, what is there is delivered, acknowledged and, if the server looks often, expires, and all
/// goes on when there is space again, without a restart (COU-44).
///
/// # Errors
/// It does not, or there is no FUSE.
pub async fn full_disk(program: &Path, folder: &Path, expiry: Expiry) -> anyhow::Result<Report> {
    let stage = Stage::set(program, folder).await?;
    let Stage { disk, server, town, .. } = &stage;
    // One device is away, so that there is something to be read when the disk is full.
    let away = &town.devices[0];
    away.client.go_offline().await;
    tokio::time::sleep(REFUSING).await;
    let room = disk.image().used() + LAST_ROOM;
    disk.image().capacity = Some(room);
    let said = server.says_within("the disk of the mailboxes is full", NOTICE_MAX).await;
    anyhow::ensure!(said, "the log does not say that the disk is full:\n{}", server.log());
    // The reserve was given up. Somebody else takes most of that space, so that it cannot be taken back: it stays full.
    let gone = within(NOTICE_MAX, async || {
        let mut image = disk.image();
        if image.has(RESERVE) {
            return Ok(false);
        }
        image.capacity = Some(image.used() + DELETING_ROOM);
        Ok(true)
    });
    anyhow::ensure!(gone.await?, "the reserve is kept although the disk is full:\n{}", server.log());
    tokio::time::sleep(SETTLING).await;
    let refused = disk.image().refused;
    server.clear_log();
    // Reading and acknowledging go on.
    let before = crate::device::texts(&away.client)?.len();
    away.online().await?;
    let read = within(NOTICE_MAX, async || Ok(crate::device::texts(&away.client)?.len() > before)).await?;
    anyhow::ensure!(read, "a device that came back was shown nothing while the disk was full");
    // Expiry goes on: what dora sent before is deleted.
    if expiry == Expiry::Often {
        let expired = server.says_within("expired envelopes were deleted", NOTICE_MAX).await;
        anyhow::ensure!(expired, "nothing expired while the disk was full:\n{}", server.log());
    }
    let accepted = town.ledger.accepted();
    tokio::time::sleep(REFUSING).await;
    let since = town.ledger.accepted() - accepted;
    anyhow::ensure!(since == 0, "{since} envelopes were accepted on a full disk");
    anyhow::ensure!(town.waiting()? > 0, "nobody waits, so nobody was refused");
    let tried = disk.image().refused - refused;
    anyhow::ensure!(tried == 0, "{tried} writes went to a disk that was known to be full");
    let (status, body) = server.ask("/readyz").await?;
    anyhow::ensure!(status == 200, "not ready although it reads and recovers by itself: {body}");
    // There is space again.
    disk.image().capacity = None;
    let again = within(NOTICE_MAX, async || Ok(town.ledger.accepted() > accepted)).await?;
    anyhow::ensure!(again, "nothing is accepted although there is space again:\n{}", server.log());
    let taken_back = within(NOTICE_MAX, async || Ok(disk.image().has(RESERVE))).await?;
    anyhow::ensure!(taken_back, "no space is held back for the next time");
    let mut report = Report { restart_max: server.started_in(), ..Report::default() };
    report.deaths.insert("full disk".to_owned(), 1);
    stage.judge(&mut report, CATCH_UP_MAX).await?;
    Ok(report)
}

/// Looks again and again whether something is so, until it is or the time is over.
async fn within(patience: Duration, is_so: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if is_so().await? {
            return Ok(true);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}
