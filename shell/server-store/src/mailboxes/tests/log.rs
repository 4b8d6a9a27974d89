//! The log in front of the table: what goes where, and that nobody can tell.

use super::super::batch::Tables;
use super::super::log::Deletions;
use super::*;
use conformance::{weather, weather_topic};
use halcyon_types::Storing;

fn everything() -> [Topic; 2] {
    assert_eq!(weather_topic().storing(), Storing::Latest);
    [Topic::message(), weather_topic()]
}

async fn read_all(store: &MailboxStore, device: DeviceId) -> Vec<StoredEnvelope> {
    let limit = ReadLimit { count: usize::MAX, bytes: usize::MAX };
    store.read(device, &everything(), 0, NOW, limit).await.unwrap()
}

/// Rows of the log, and envelopes in the table, of a store that is closed.
fn on_disk(folder: &TempDir) -> (u64, u64) {
    let connection = rusqlite::Connection::open(folder.path().join("mailboxes.db")).unwrap();
    let count = |table: &str| {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    (count("log").unsigned_abs(), count("envelopes").unsigned_abs())
}

/// COU-52: what is acknowledged before the log is folded never comes into the table, and its rows of the log go.
#[tokio::test]
async fn what_is_acknowledged_soon_is_never_in_the_table() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    for n in 0..50 {
        let positions = accept(&store, vec![message(PHONE, &n.to_string()), message(LAPTOP, "too")]).await;
        store.acknowledge(PHONE, vec![positions[0]]).await.unwrap();
        store.acknowledge(LAPTOP, vec![positions[1]]).await.unwrap();
    }
    drop(store);
    assert_eq!(on_disk(&folder), (0, 0));
}

/// COU-52, COU-32, COU-55: a deletion holds over a restart while others of its row still wait, in any order of the two.
#[tokio::test]
async fn deletions_in_the_log_survive() {
    let killed = Killed::new(roomy());
    let store = killed.open();
    let positions = accept(&store, vec![message(PHONE, "read"), message(PHONE, "waits"), weather(PHONE, "rain")]).await;
    accept(&store, vec![message(LAPTOP, "for nobody"), weather(PHONE, "sun"), weather(PHONE, "snow")]).await;
    store.acknowledge(PHONE, vec![positions[0]]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    store.clear(LAPTOP).await.unwrap();
    accept(&store, vec![message(LAPTOP, "for whom comes next")]).await;
    killed.kill(store);
    for _ in 0..2 {
        let store = killed.open();
        assert_eq!(texts(&read_all(&store, PHONE).await), ["waits", "snow"]);
        assert_eq!(texts(&read_all(&store, LAPTOP).await), ["for whom comes next"]);
        killed.kill(store);
    }
}

/// COU-41: readers see nothing of a commit before it is done, the first one after a start included, and nothing of one that fails.
#[tokio::test]
async fn what_is_not_committed_is_not_seen() {
    let folder = TempDir::new().unwrap();
    let connection = schema::open_writer(&folder.path().join(FILE_NAME), &roomy()).unwrap();
    let mut tables = Tables::new(&connection, Loaded::new(&connection).unwrap(), &roomy()).unwrap();
    let recent = tables.recent().clone();
    let seen = || {
        let limit = ReadLimit { count: 100, bytes: 1 << 20 };
        let found = recent.waiting(&PHONE, &everything(), 0, NOW, limit, &[]);
        texts(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    tables.begin(Deletions::Recorded).unwrap();
    tables.append(&weather(PHONE, "rain")).unwrap();
    assert!(seen().is_empty());
    tables.commit().unwrap();
    assert_eq!(seen(), ["rain"]);
    tables.begin(Deletions::Recorded).unwrap();
    tables.append(&message(PHONE, "hello")).unwrap();
    tables.append(&weather(PHONE, "sun")).unwrap();
    tables.roll_back();
    assert_eq!(seen(), ["rain"]);
    tables.begin(Deletions::Recorded).unwrap();
    tables.append(&weather(PHONE, "snow")).unwrap();
    tables.commit().unwrap();
    assert_eq!(seen(), ["snow"]);
}

/// COU-32: the newest replaces what is in the table already.
#[tokio::test]
async fn a_notification_in_the_table_is_replaced() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), folding()).unwrap();
    accept(&store, vec![weather(PHONE, "rain")]).await;
    drop(store);
    assert_eq!(on_disk(&folder), (0, 1));
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    accept(&store, vec![weather(PHONE, "sun")]).await;
    assert_eq!(texts(&read_all(&store, PHONE).await), ["sun"]);
    drop(store);
    assert_eq!(on_disk(&folder), (1, 0));
}

/// COU-50: whoever reads while the log is folded sees everything, once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_misses_nothing_while_the_log_is_folded() {
    const MESSAGES: usize = 2_000;
    let folder = TempDir::new().unwrap();
    let options = Options { log_bytes_max: 8 << 10, ..roomy() };
    let store = Arc::new(MailboxStore::open(folder.path(), options).unwrap());
    let reader = tokio::spawn({
        let store = store.clone();
        async move {
            let mut seen = 0;
            while seen < MESSAGES {
                let found = read_all(&store, PHONE).await;
                let expected: Vec<String> = (0..found.len()).map(|n| n.to_string()).collect();
                assert_eq!(texts(&found), expected);
                assert!(found.len() >= seen, "{} were there, now {}", seen, found.len());
                seen = found.len();
            }
        }
    });
    for n in 0..MESSAGES {
        accept(&*store, vec![message(PHONE, &n.to_string())]).await;
    }
    reader.await.unwrap();
    drop(store);
    let (rows, envelopes) = on_disk(&folder);
    assert!(rows > 0 && envelopes > 0, "{rows} rows, {envelopes} envelopes");
}

/// COU-51: reads stop at their limits wherever what they return is.
#[tokio::test]
async fn reads_are_bounded_over_log_and_table() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), folding()).unwrap();
    accept(&store, (0..3).map(|n| message(PHONE, &n.to_string())).collect()).await;
    drop(store);
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    accept(&store, (3..6).map(|n| message(PHONE, &n.to_string())).collect()).await;
    for count in 1..=6 {
        let mut after = 0;
        let mut all = Vec::new();
        loop {
            let limit = ReadLimit { count, bytes: 1 << 20 };
            let found = store.read(PHONE, &everything(), after, NOW, limit).await.unwrap();
            let Some(last) = found.last() else { break };
            assert!(found.len() <= count);
            after = last.position;
            all.extend(texts(&found).into_iter().map(str::to_owned));
        }
        assert_eq!(all, ["0", "1", "2", "3", "4", "5"], "{count} at once");
    }
    let bytes = ReadLimit { count: 100, bytes: 4 };
    assert_eq!(store.read(PHONE, &everything(), 0, NOW, bytes).await.unwrap().len(), 4);
}

/// COU-44: what a failed commit would have replaced is still there, and nothing of what it would have stored.
#[tokio::test]
async fn a_failed_commit_replaces_nothing() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), Options { file_bytes_max: Some(256 << 10), ..roomy() }).unwrap();
    accept(&store, vec![weather(PHONE, "rain"), message(PHONE, "hello")]).await;
    let large = "x".repeat(300 << 10);
    let refused = store.append(vec![weather(PHONE, "sun"), message(PHONE, &large)], vec![]).await;
    assert!(matches!(refused, Err(MailboxError::Full)), "{refused:?}");
    assert_eq!(texts(&read_all(&store, PHONE).await), ["rain", "hello"]);
    drop(store);
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    assert_eq!(texts(&read_all(&store, PHONE).await), ["rain", "hello"]);
}

/// COU-44: on a full disk a deletion needs no room, though others of its row wait; what it gave back is used again.
#[tokio::test]
async fn a_full_log_is_emptied_in_place() {
    let killed = Killed::new(Options { file_bytes_max: Some(256 << 10), ..roomy() });
    let store = killed.open();
    let large = "x".repeat(4 << 10);
    let mut read_soon = Vec::new();
    while let Ok(outcomes) = store.append(vec![message(PHONE, &large), message(LAPTOP, "waits")], vec![]).await {
        let AppendOutcome::Accepted(position) = outcomes[0] else { panic!("{outcomes:?}") };
        read_soon.push(position);
    }
    store.acknowledge(PHONE, read_soon.clone()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    accept(&store, vec![message(PHONE, "there is room again")]).await;
    killed.kill(store);
    let store = killed.open();
    assert_eq!(texts(&read_all(&store, PHONE).await), ["there is room again"]);
    assert_eq!(read_all(&store, LAPTOP).await.len(), read_soon.len());
}

/// COU-45: a mailbox that has much in the table is counted before it takes more, after a restart, too; and no longer when it is empty.
#[tokio::test]
async fn a_large_mailbox_in_the_table_is_counted() {
    const MAX: u64 = 3_000;
    let folder = TempDir::new().unwrap();
    let options = Options { envelopes_max: MAX, ..folding() };
    let store = MailboxStore::open(folder.path(), options.clone()).unwrap();
    let positions = accept(&store, (0..MAX - 1).map(|_| message(PHONE, "x")).collect()).await;
    accept(&store, vec![message(LAPTOP, "x")]).await;
    drop(store);
    let store = MailboxStore::open(folder.path(), options.clone()).unwrap();
    let outcomes = store.append(vec![message(PHONE, "fits"), message(PHONE, "does not")], vec![]).await.unwrap();
    assert!(matches!(outcomes[..], [AppendOutcome::Accepted(_), AppendOutcome::Quota]), "{outcomes:?}");
    store.acknowledge(PHONE, positions).await.unwrap();
    let again = accept(&store, (0..MAX - 1).map(|_| message(PHONE, "again")).collect()).await;
    assert!(matches!(store.append(vec![message(PHONE, "x")], vec![]).await.unwrap()[..], [AppendOutcome::Quota]));
    store.acknowledge(PHONE, again).await.unwrap();
    accept(&store, vec![message(PHONE, "last")]).await;
}

/// COU-45: of a file from before the log it is found out who has much.
#[tokio::test]
async fn mailboxes_without_a_log_are_taken_over() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), folding()).unwrap();
    accept(&store, (0..2_000).map(|_| message(PHONE, "x")).chain([message(LAPTOP, "y")]).collect()).await;
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join("mailboxes.db")).unwrap();
    connection.execute_batch("DROP TABLE log; DROP TABLE heavy; PRAGMA user_version = 2").unwrap();
    drop(connection);
    let store = MailboxStore::open(folder.path(), Options { envelopes_max: 2_000, ..roomy() }).unwrap();
    assert!(matches!(store.append(vec![message(PHONE, "x")], vec![]).await.unwrap()[..], [AppendOutcome::Quota]));
    accept(&store, vec![message(LAPTOP, "z")]).await;
    assert_eq!(texts(&read_all(&store, LAPTOP).await), ["y", "z"]);
}

/// A log that no server wrote is not taken for an empty one.
#[tokio::test]
async fn a_damaged_log_is_told() {
    let folder = TempDir::new().unwrap();
    let store = MailboxStore::open(folder.path(), roomy()).unwrap();
    accept(&store, vec![message(PHONE, "hello")]).await;
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join("mailboxes.db")).unwrap();
    connection.execute("UPDATE log SET records = substr(records, 1, length(records) - 1)", []).unwrap();
    drop(connection);
    assert!(matches!(MailboxStore::open(folder.path(), roomy()), Err(OpenError::Damaged)));
}
