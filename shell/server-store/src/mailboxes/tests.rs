use std::fs;

use halcyon_server::ports::{Append, AppendOutcome, MailboxError, Mailboxes};
use halcyon_testkit::conformance::mailboxes as conformance;
use tempfile::TempDir;

use super::*;
use conformance::{LAPTOP, NOW, PHONE, accept, message, read, shown, texts};

fn small() -> Options {
    Options {
        envelopes_max: conformance::ENVELOPES_MAX,
        bytes_max: conformance::BYTES_MAX,
        reserve_bytes: 1 << 16,
        ..Options::default()
    }
}

fn roomy() -> Options {
    Options { reserve_bytes: 1 << 16, ..Options::default() }
}

/// Whatever is accepted goes on to the table at once.
fn folding() -> Options {
    Options { log_bytes_max: 0, ..roomy() }
}

/// COU-18, COU-19, COU-31, COU-32, COU-41, COU-45, COU-52, COU-54
#[tokio::test]
async fn the_store_conforms() {
    let folder = TempDir::new().unwrap();
    let count = std::cell::Cell::new(0);
    // Everything in the log, everything in the table, and both.
    for log_bytes_max in [Options::default().log_bytes_max, 0, 300] {
        let fresh = || {
            count.set(count.get() + 1);
            let own = folder.path().join(count.get().to_string());
            fs::create_dir(&own).unwrap();
            MailboxStore::open(&own, Options { log_bytes_max, ..small() }).unwrap()
        };
        conformance::all(fresh).await;
    }
}

/// COU-41: a clean end loses nothing.
#[tokio::test]
async fn accepted_survives_a_clean_end() {
    for options in [roomy(), folding()] {
        let folder = TempDir::new().unwrap();
        conformance::accepted_survives(|| MailboxStore::open(folder.path(), options.clone()).unwrap(), drop).await;
    }
}

/// COU-19: nor does it forget an epoch.
#[tokio::test]
async fn epochs_survive_a_clean_end() {
    let folder = TempDir::new().unwrap();
    conformance::epochs_survive(|| MailboxStore::open(folder.path(), roomy()).unwrap(), drop).await;
}

/// COU-41: so does the folder as a killed process leaves it: a copy made while the store still runs.
#[tokio::test]
async fn accepted_survives_a_kill() {
    for options in [roomy(), folding()] {
        let killed = Killed::new(options);
        conformance::accepted_survives(|| killed.open(), |running| killed.kill(running)).await;
    }
}

/// COU-19: what a device showed is in such a folder, too.
#[tokio::test]
async fn epochs_survive_a_kill() {
    let killed = Killed::new(roomy());
    conformance::epochs_survive(|| killed.open(), |running| killed.kill(running)).await;
}

/// Folders, each as the process before left it when it was killed.
struct Killed {
    options: Options,
    folder: TempDir,
    run: std::cell::Cell<u32>,
}

impl Killed {
    fn new(options: Options) -> Self {
        let killed = Self { options, folder: TempDir::new().unwrap(), run: std::cell::Cell::new(0) };
        fs::create_dir(killed.path(0)).unwrap();
        killed
    }

    fn path(&self, run: u32) -> std::path::PathBuf {
        self.folder.path().join(run.to_string())
    }

    fn open(&self) -> MailboxStore {
        MailboxStore::open(&self.path(self.run.get()), self.options.clone()).unwrap()
    }

    fn kill(&self, running: MailboxStore) {
        let (old, new) = (self.path(self.run.get()), self.path(self.run.get() + 1));
        fs::create_dir(&new).unwrap();
        for file in ["mailboxes.db", "mailboxes.db-wal"] {
            fs::copy(old.join(file), new.join(file)).unwrap();
        }
        self.run.set(self.run.get() + 1);
        drop(running);
    }
}

/// COU-19: an epoch rides with the envelopes that show it: as many synced commits with it as without.
#[tokio::test]
async fn an_epoch_costs_no_sync() {
    let mut commits = Vec::new();
    for with in [false, true] {
        let folder = TempDir::new().unwrap();
        let store = MailboxStore::open(folder.path(), roomy()).unwrap();
        for n in 1..=50 {
            let shown = if with { vec![shown(LAPTOP, n)] } else { vec![] };
            store.append(vec![message(PHONE, "x")], shown).await.unwrap();
        }
        commits.push(store.synced_commits());
    }
    assert_eq!(commits, [50, 50]);
}

/// COU-55: a mailbox that was emptied stays so after a power cut; what was acknowledged may come again, and costs no sync.
#[tokio::test]
async fn emptying_a_mailbox_is_synced() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    let stored = store.append(vec![message(PHONE, "x"), message(LAPTOP, "y")], vec![]).await.unwrap();
    let [AppendOutcome::Accepted(position), _] = stored[..] else { panic!("{stored:?}") };
    assert_eq!(store.synced_commits(), 1);
    store.acknowledge(PHONE, vec![position]).await.unwrap();
    store.clear(LAPTOP).await.unwrap();
    assert_eq!(store.synced_commits(), 2);
}

/// COU-19: a commit that fails remembers nothing of what it would have stored.
#[tokio::test]
async fn a_failed_commit_remembers_no_epoch() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), Options { file_bytes_max: Some(256 << 10), ..roomy() }).unwrap();
    let large = "x".repeat(8 << 10);
    let mut accepted = 0;
    while store.append(vec![message(PHONE, &large)], vec![shown(LAPTOP, accepted + 1)]).await.is_ok() {
        accepted += 1;
    }
    assert!(accepted > 0 && !store.is_stopped());
    assert_eq!(store.epoch(LAPTOP).await.unwrap(), accepted);
}

/// COU-18: mailboxes of a server that did not know epochs are kept, and remember them from now on.
#[tokio::test]
async fn mailboxes_without_epochs_are_taken_over() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), folding()).unwrap();
    accept(&store, vec![message(PHONE, "older")]).await;
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join("mailboxes.db")).unwrap();
    connection.execute_batch("DROP TABLE epochs; DROP TABLE log; DROP TABLE heavy; PRAGMA user_version = 1").unwrap();
    drop(connection);
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    assert_eq!(texts(&read(&store, PHONE, 0).await), ["older"]);
    store.append(vec![], vec![shown(PHONE, 9)]).await.unwrap();
    assert_eq!(store.epoch(PHONE).await.unwrap(), 9);
}

/// COU-44: on a full disk appends fail, and everything else goes on; with room again, so do appends.
#[tokio::test]
async fn a_full_disk_refuses_appends_alone() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), Options { file_bytes_max: Some(256 << 10), ..roomy() }).unwrap();
    let large = "x".repeat(8 << 10);
    let mut accepted = Vec::new();
    let refusal = loop {
        match store.append(vec![message(PHONE, &large)], vec![]).await {
            Ok(outcomes) => accepted.extend(outcomes.into_iter().map(|outcome| match outcome {
                AppendOutcome::Accepted(position) => position,
                AppendOutcome::Quota => panic!("the disk is full before the mailbox is"),
            })),
            Err(refusal) => break refusal,
        }
        assert!(accepted.len() < 100);
    };
    assert!(matches!(refusal, MailboxError::Full), "{refusal}");
    assert!(!store.is_stopped());
    assert_eq!(read(&store, PHONE, 0).await.len(), accepted.len());

    // Acknowledging goes on; clearing waits for the writer, so the acknowledgements before it are done.
    store.acknowledge(PHONE, accepted[..10].to_vec()).await.unwrap();
    store.clear(LAPTOP).await.unwrap();
    assert_eq!(read(&store, PHONE, 0).await.len(), accepted.len() - 10);
    assert!(store.expire(NOW).await.is_ok());

    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    accept(&store, vec![message(PHONE, "there is room again")]).await;
}

/// COU-44: what damaged the file stops the writer for good, and says so.
#[tokio::test]
async fn damage_stops_the_writer() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    accept(&store, (0..200).map(|n| message(DeviceId::from_bytes([n; 16]), &"x".repeat(500))).collect()).await;
    drop(store);
    let path = folder.path().join("mailboxes.db");
    let mut bytes = fs::read(&path).unwrap();
    // The pages after the first hold the tables; the header stays, so that it still opens.
    bytes[4096 * 2..].fill(0xff);
    fs::write(&path, bytes).unwrap();

    match MailboxStore::open(folder.path(), roomy()) {
        // Found when opening.
        Err(OpenError::Sqlite(_) | OpenError::Damaged) => {}
        Err(other) => panic!("{other}"),
        Ok(store) => {
            assert!(matches!(store.append(vec![message(PHONE, "hello")], vec![]).await, Err(MailboxError::Stopped)));
            assert!(matches!(store.append(vec![message(PHONE, "again")], vec![]).await, Err(MailboxError::Stopped)));
            assert!(store.is_stopped());
        }
    }
}

/// COU-54: what expired gives its disk back.
#[tokio::test]
async fn expiry_gives_the_disk_back() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    let kilobytes = "x".repeat(16 << 10);
    for n in 0..30u8 {
        let device = DeviceId::from_bytes([n; 16]);
        accept(&store, (0..100).map(|_| Append { expires: NOW, ..message(device, &kilobytes) }).collect()).await;
    }
    accept(&store, vec![message(PHONE, "stays")]).await;
    while store.expire(NOW).await.unwrap() > 0 {}
    drop(store);
    let left = fs::metadata(folder.path().join("mailboxes.db")).unwrap().len();
    assert!(left < 1 << 20, "{left} bytes are left of 48 MiB");
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    assert_eq!(texts(&read(&store, PHONE, 0).await), ["stays"]);
}

/// COU-54: it does so step by step, too, where much goes on waiting.
#[tokio::test]
async fn expiry_gives_the_disk_back_beside_what_waits() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), folding()).unwrap();
    let kilobytes = "x".repeat(64 << 10);
    for n in 0..40u8 {
        let device = DeviceId::from_bytes([n; 16]);
        let batch = (0..32).map(|part| message(device, &kilobytes).expiring(part % 4 != 0)).collect();
        accept(&store, batch).await;
    }
    while store.expire(NOW).await.unwrap() > 0 {}
    drop(store);
    let left = fs::metadata(folder.path().join("mailboxes.db")).unwrap().len();
    assert!(left < 48 << 20, "{left} bytes are left of 80 MiB, of which 20 MiB wait");
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    for n in 0..40u8 {
        let limit = ReadLimit { count: 100, bytes: 1 << 30 };
        let found = store.read(DeviceId::from_bytes([n; 16]), &[Topic::message()], 0, NOW, limit).await.unwrap();
        assert_eq!(texts(&found), vec![&kilobytes[..]; 8]);
    }
}

trait Expiring {
    fn expiring(self, expires: bool) -> Self;
}

impl Expiring for Append {
    fn expiring(self, expires: bool) -> Self {
        Self { expires: if expires { NOW } else { self.expires }, ..self }
    }
}

/// A file of another version is not touched.
#[test]
fn another_version_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(MailboxStore::open(folder.path(), roomy()).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join("mailboxes.db")).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    assert!(matches!(MailboxStore::open(folder.path(), roomy()), Err(OpenError::Version { found: 99 })));
}

/// Drains and counts use the index alone where they can: nothing on the hot path scans a table.
#[tokio::test]
async fn queries_use_their_index() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    let plan = |sql: &'static str| {
        let readers = store.readers.clone();
        async move {
            readers
                .run(move |connection| {
                    connection.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get::<_, String>(3))
                })
                .await
                .unwrap()
        }
    };
    let count =
        plan("SELECT count(*), coalesce(sum(bytes), 0) FROM envelopes INDEXED BY waiting WHERE device = x'00'").await;
    assert!(count.contains("USING COVERING INDEX waiting (device=?)"), "{count}");
    let sweep = plan("SELECT device, position, expires FROM envelopes INDEXED BY waiting WHERE (device, position) > (x'00', 5) ORDER BY device, position").await;
    assert!(sweep.contains("USING COVERING INDEX waiting (device>?)"), "{sweep}");
}

mod log;
