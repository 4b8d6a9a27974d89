use halcyon_server::ports::{
    Admitted, Aftermath, AftermathId, Charge, Deed, Held, HoldRoom, HoldState, Holds, LimitKey, NewReport,
    NewVerification, Rate, ReportKept, ReportRoom, VerificationId, VerificationPurpose, VerifyAttempt, VerifyOutcome,
};
use halcyon_testkit::conformance::holds::{ACCOUNT, DEVICES};
use halcyon_types::{AccountId, DeviceId, Duration, Handle, HoldId, MessageId, ReportId, Timestamp};

use super::*;

const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn open(folder: &Path) -> DirectoryDb {
    DirectoryDb::open(folder, LastShutdown::Unclean).unwrap()
}

fn charge(burst: u32) -> Charge {
    let rate = Rate { burst, interval: Duration::from_secs(10) };
    Charge { key: LimitKey([1; 32]), rate, cost: 1 }
}

fn records(folder: &Path) -> u32 {
    let connection = Connection::open(folder.join(FILE)).unwrap();
    connection.query_row("SELECT count(*) FROM query_log", [], |row| row.get(0)).unwrap()
}

/// ACC-4: a limit lets its burst pass, then one each interval, and a restart changes nothing.
#[tokio::test]
async fn a_limit_fills_up_again_with_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    for _ in 0..3 {
        assert_eq!(db.ports().limits.charge(vec![charge(3)], NOON).await.unwrap(), Admitted::Admitted);
        drop(db);
        db = open(folder.path());
    }
    let limits = db.ports().limits;
    let limited = limits.charge(vec![charge(3)], NOON.plus(Duration::from_secs(4))).await.unwrap();
    assert_eq!(limited, Admitted::Limited { retry_after: Duration::from_secs(6) });
    let later = NOON.plus(Duration::from_secs(10));
    assert_eq!(limits.charge(vec![charge(3)], later).await.unwrap(), Admitted::Admitted);
    assert!(matches!(limits.charge(vec![charge(3)], later).await.unwrap(), Admitted::Limited { .. }));
}

/// ACC-4: a request that one of its limits refuses takes nothing from the others.
#[tokio::test]
async fn all_limits_are_charged_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let limits = db.ports().limits;
    let other = Charge { key: LimitKey([2; 32]), ..charge(1) };
    assert_eq!(limits.charge(vec![charge(2), other], NOON).await.unwrap(), Admitted::Admitted);
    assert!(matches!(limits.charge(vec![charge(2), other], NOON).await.unwrap(), Admitted::Limited { .. }));
    assert_eq!(limits.charge(vec![charge(2)], NOON).await.unwrap(), Admitted::Admitted);
}

/// DIR-23: new ones are counted once each, also twice in one request; known ones are free; what is refused is not known.
#[tokio::test]
async fn only_new_records_are_charged() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let lookups = db.ports().lookups;
    let (bob, carol, dave) = ([1; 32], [2; 32], [3; 32]);
    let admit = |records: Vec<[u8; 32]>| lookups.admit(records, 7, charge(2), NOON);
    assert_eq!(admit(vec![bob, bob, carol]).await.unwrap(), Admitted::Admitted);
    assert_eq!(records(folder.path()), 2);
    assert!(matches!(admit(vec![bob, dave]).await.unwrap(), Admitted::Limited { .. }));
    assert_eq!(records(folder.path()), 2);
    assert_eq!(admit(vec![carol, bob]).await.unwrap(), Admitted::Admitted);
}

/// ACC-2: a nonce is used once, also by requests at the same time, until it is swept.
#[tokio::test]
async fn a_nonce_is_used_once() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let limits = db.ports().limits;
    let (phone, until) = (DeviceId::from_bytes([1; 16]), NOON.plus(Duration::from_mins(10)));
    let uses = (0..10).map(|_| {
        let limits = limits.clone();
        tokio::spawn(async move { limits.use_nonce(phone, [7; 16], until).await.unwrap() })
    });
    let mut fresh = 0;
    for used in uses.collect::<Vec<_>>() {
        fresh += u32::from(used.await.unwrap());
    }
    assert_eq!(fresh, 1);
    assert_eq!(db.ports().housekeeping.expire(until, 0).await.unwrap(), 1);
    assert!(limits.use_nonce(phone, [7; 16], until).await.unwrap());
}

/// ACC-24, ACC-51: an unknown account cannot be given a handle; the failed change leaves nothing behind, and its
/// neighbors in the same commit are stored.
#[tokio::test]
async fn a_change_that_fails_takes_nothing_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let ports = db.ports();
    let verification = |id: u8, purpose| NewVerification {
        id: VerificationId([id; 16]),
        handle: Handle::parse("alice@example.org").unwrap(),
        purpose,
        code_mac: [4; 32],
        link_hash: [id; 32],
        expires: NOON.plus(Duration::from_mins(15)),
    };
    let nobody = AccountId::from_bytes([9; 16]);
    let store = ports.verifications.clone();
    store.begin(verification(1, VerificationPurpose::AddHandle(nobody))).await.unwrap();
    store.begin(verification(2, VerificationPurpose::Registration)).await.unwrap();
    let wake =
        vec![Aftermath { id: AftermathId([1; 16]), deed: Deed::Revoke { device: DeviceId::from_bytes([1; 16]) } }];
    let verify = |id: u8, wake| store.verify(VerificationId([id; 16]), VerifyAttempt::Code([4; 32]), 5, 20, NOON, wake);
    let (fails, works) = tokio::join!(verify(1, wake), verify(2, Vec::new()));
    assert!(fails.is_err(), "the account does not exist");
    assert_eq!(works.unwrap(), VerifyOutcome::Verified);
    assert!(ports.aftermath.pending().await.unwrap().is_empty());
    assert_eq!(ports.accounts.find(&Handle::parse("alice@example.org").unwrap()).await.unwrap(), None);
}

/// A file that is not a database is named as damaged, and is not overwritten.
#[test]
fn garbage_is_not_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, vec![0x5a; 8192]).unwrap();
    let refused = DirectoryDb::open(folder.path(), LastShutdown::Clean).err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), vec![0x5a; 8192]);
}

/// The schema is what other versions of this program find: a change to it is a new migration.
#[test]
fn the_tables_are_pinned() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!((version, SCHEMA_VERSION), (3, 3));
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let expected = [
        "accounts",
        "aftermath",
        "devices",
        "handles",
        "holds",
        "limits",
        "link_prekeys",
        "links",
        "nonces",
        "prekeys",
        "query_log",
        "reports",
        "tickets",
        "verifications",
    ];
    assert_eq!(tables, expected);
}

/// A full disk refuses changes by that name; reading goes on, and what is swept away makes room again.
#[tokio::test]
async fn a_full_disk_refuses_changes_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let connection = connect(&folder.path().join(FILE), &Options::default()).unwrap();
    let pages: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    connection.query_row(&format!("PRAGMA max_page_count = {}", pages + 20), [], |_| Ok(())).unwrap();
    let writer = Arc::new(Writer::start(connection, Execution::Threads).unwrap());
    let readers = Readers::new(folder.path().join(FILE), Options::default(), writer.clone());
    let db = DirectoryDb { writer, readers: Arc::new(readers) };
    let limits = db.ports().limits;
    let until = NOON.plus(Duration::from_mins(10));
    let mut kept: u64 = 0;
    let full = loop {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&kept.to_be_bytes());
        match limits.use_nonce(DeviceId::from_bytes([1; 16]), nonce, until).await {
            Ok(fresh) => kept += u64::from(fresh),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, DirectoryStoreError::Full), "{full}");
    assert!(kept > 100);
    assert_eq!(db.ports().accounts.find(&Handle::parse("alice@example.org").unwrap()).await.unwrap(), None);
    assert_eq!(db.ports().housekeeping.expire(until, 0).await.unwrap(), kept);
    assert!(limits.use_nonce(DeviceId::from_bytes([1; 16]), [9; 16], until).await.unwrap());
}

fn report(account: u8, message: u8, stored: Timestamp) -> NewReport {
    NewReport {
        id: ReportId::from_bytes([account ^ message.rotate_left(4); 16]),
        account: AccountId::from_bytes([account; 16]),
        device: DeviceId::from_bytes([account; 16]),
        device_key: [7; 32],
        message: MessageId::from_bytes([message; 16]),
        sender_device: DeviceId::from_bytes([5; 16]),
        signed: vec![message; 9].into(),
        stored,
        expires: stored.plus(Duration::from_days(90)),
    }
}

/// ACC-62: so many of one account, and so many in all; one that is said anew needs no more room, and what expired takes none.
#[tokio::test]
async fn reports_have_room_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let reports = db.ports().reports;
    let room = ReportRoom { per_account: 2, in_all: 3 };
    let keep = async |account, message, at| reports.keep(report(account, message, at), room).await.unwrap();
    let kept = |account, message| ReportKept::Kept(report(account, message, NOON).id);
    assert_eq!(keep(1, 1, NOON).await, kept(1, 1));
    assert_eq!(keep(1, 2, NOON).await, kept(1, 2));
    assert_eq!(keep(1, 3, NOON).await, ReportKept::TooMany);
    assert_eq!(keep(2, 1, NOON).await, kept(2, 1), "another account's of the same message");
    assert_eq!(keep(2, 2, NOON).await, ReportKept::Full);
    let renamed = NewReport { id: ReportId::from_bytes([0; 16]), signed: vec![9; 9].into(), ..report(1, 2, NOON) };
    assert_eq!(reports.keep(renamed, room).await.unwrap(), kept(1, 2), "said anew, under its name");
    let other_sender = NewReport { sender_device: DeviceId::from_bytes([6; 16]), ..report(1, 2, NOON) };
    assert_eq!(reports.keep(other_sender, room).await.unwrap(), ReportKept::TooMany, "an id is anybody's to use");
    let file = ReportsFile::open(folder.path()).unwrap();
    let mut found = Vec::new();
    file.each(NOON, |one| found.push((one.account.as_bytes()[0], one.signed[0]))).unwrap();
    found.sort_unstable();
    assert_eq!(found, [(1, 1), (1, 9), (2, 1)]);

    let later = NOON.plus(Duration::from_days(90));
    assert_eq!(keep(1, 3, later).await, kept(1, 3));
    found.clear();
    file.each(later, |one| found.push((one.account.as_bytes()[0], one.signed[0]))).unwrap();
    assert_eq!(found, [(1, 3)]);
    assert_eq!(file.find(report(1, 1, NOON).id, later).unwrap(), None);
    assert_eq!(db.ports().housekeeping.expire(later, 0).await.unwrap(), 3);
    assert_eq!(file.find(report(1, 3, NOON).id, later).unwrap().map(|one| one.stored), Some(later));
}

/// A directory of before reports opens, and has room for them; the operator's tool leaves it to the server to bring it there.
#[tokio::test]
async fn an_older_directory_learns_of_reports() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(ReportsFile::open(folder.path()), Err(ReportsError::Missing)));
    drop(open(folder.path()));
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch("DROP TABLE holds; DROP TABLE reports; PRAGMA user_version = 1").unwrap();
    drop(connection);
    assert!(matches!(ReportsFile::open(folder.path()), Err(ReportsError::OtherVersion { found: 1 })));
    let db = open(folder.path());
    let room = ReportRoom { per_account: 1, in_all: 1 };
    let kept = db.ports().reports.keep(report(1, 1, NOON), room).await.unwrap();
    assert!(matches!(kept, ReportKept::Kept(_)));
    assert!(ReportsFile::open(folder.path()).is_ok());
}

/// COU-61 to COU-66: as the port says.
#[tokio::test]
async fn holds_are_kept_as_the_port_says() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    add_devices(&db).await;
    halcyon_testkit::conformance::holds::holds(&db).await;
}

/// COU-61, COU-66: what is held outlives the process, and what was made or taken back is remembered for 31 days.
#[tokio::test]
async fn holds_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    add_devices(&db).await;
    let (held, taken_back) = (HoldId::from_bytes([1; 16]), HoldId::from_bytes([2; 16]));
    for hold in [held, taken_back] {
        assert_eq!(db.hold(held_send(hold, 0), false, ROOM).await.unwrap(), HoldState::Held);
    }
    assert_eq!(db.ask(ACCOUNT, taken_back, true).await.unwrap(), HoldState::Cancelled);
    drop(db);
    db = open(folder.path());
    assert_eq!(db.next().await.unwrap(), Some(NOON));
    assert_eq!(db.take(NOON).await.unwrap().unwrap().hold, held);
    drop(db);
    db = open(folder.path());
    assert_eq!(db.take(NOON).await.unwrap().unwrap().hold, held, "it was not said to be made");
    let sweep =
        async |db: &DirectoryDb, days| db.ports().housekeeping.expire(NOON.plus(Duration::from_days(days)), 0).await;
    assert_eq!(sweep(&db, 30).await.unwrap(), 0);
    assert_eq!(sweep(&db, 31).await.unwrap(), 1);
    assert_eq!(db.ask(ACCOUNT, taken_back, false).await.unwrap(), HoldState::NotKnown);
    assert_eq!(db.ask(ACCOUNT, held, false).await.unwrap(), HoldState::Released, "what is not made stays");
}

/// COU-66: what a device had held goes with it, and nothing more is held for it.
#[tokio::test]
async fn holds_go_with_their_device() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    add_devices(&db).await;
    let (of_removed, of_other) = (HoldId::from_bytes([1; 16]), HoldId::from_bytes([2; 16]));
    db.hold(held_send(of_removed, 0), false, ROOM).await.unwrap();
    db.hold(held_send(of_other, 1), false, ROOM).await.unwrap();
    db.write(|connection| connection.execute("DELETE FROM devices WHERE device = ?1", [DEVICES[0].as_bytes()]))
        .await
        .unwrap();
    assert_eq!(db.take(NOON).await.unwrap().unwrap().hold, of_other);
    assert_eq!(db.ask(ACCOUNT, of_removed, false).await.unwrap(), HoldState::NotKnown);
    assert!(db.hold(held_send(of_removed, 0), false, ROOM).await.is_err());
}

const ROOM: HoldRoom = HoldRoom { count: 8, bytes: 1_000, remembered: 8 };

fn held_send(hold: HoldId, device: usize) -> Held {
    Held { hold, account: ACCOUNT, device: DEVICES[device], due: NOON, send: bytes::Bytes::from_static(b"send") }
}

async fn add_devices(db: &DirectoryDb) {
    db.write(|connection| {
        connection.execute(
            "INSERT INTO accounts (account, account_key, password, list_version, list, created_ms)
             VALUES (?1, zeroblob(32), x'', 1, x'', 0)",
            [ACCOUNT.as_bytes()],
        )?;
        for device in DEVICES {
            let push_token = [device.as_bytes()[0]; 32];
            connection.execute(
                "INSERT INTO devices (device, account, device_key, push_token) VALUES (?1, ?2, zeroblob(32), ?3)",
                (device.as_bytes(), ACCOUNT.as_bytes(), push_token),
            )?;
        }
        Ok(())
    })
    .await
    .unwrap();
}
