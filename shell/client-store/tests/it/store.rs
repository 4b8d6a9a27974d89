//! The client's store port on a real profile folder.

use halcyon_client::ports::store::{Change, Commit, Store, StoreError};
use halcyon_client_store::{Profile, SqliteStore};
use halcyon_testkit::conformance;
use tempfile::TempDir;

use crate::diary::{CHEAP, passphrase, rng};

struct World(TempDir);

impl World {
    fn open(&self) -> SqliteStore {
        let profile = Profile::at(self.0.path(), CHEAP).unwrap();
        let database = if profile.exists().unwrap() {
            profile.open(&passphrase(), rng(2)).unwrap()
        } else {
            profile.create(&passphrase(), rng(1)).unwrap()
        };
        SqliteStore::new(database).unwrap()
    }
}

impl conformance::store::World for World {
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(World::open(self))
    }
}

#[test]
fn the_encrypted_store_is_a_store() {
    conformance::store::run(|| World(tempfile::tempdir().unwrap()));
}

/// SND-1, RCV-1: a commit of which one change is refused has not happened at all.
#[test]
fn a_commit_happens_whole_or_not_at_all() {
    let world = World(tempfile::tempdir().unwrap());
    let mut store = world.open();
    store
        .database()
        .execute_batch(
            "CREATE TRIGGER disk_trouble BEFORE INSERT ON setting WHEN NEW.name = 'second'
             BEGIN SELECT RAISE(ABORT, 'trouble'); END",
        )
        .unwrap();
    let setting = |name: &str| Change::PutSetting { name: name.into(), value: "1".into() };
    let both = Commit::new().with(setting("first")).with(setting("second"));
    assert!(matches!(store.commit(&both), Err(StoreError::Failed(_))));
    assert_eq!(store.setting("first").unwrap(), None);
    store.commit(&Commit::new().with(setting("first"))).unwrap();
    assert_eq!(store.setting("first").unwrap().as_deref(), Some("1"));
}

/// A row that this program did not write is damage, and a store of a later version is not touched.
#[test]
fn strange_rows_and_later_versions_are_refused() {
    let world = World(tempfile::tempdir().unwrap());
    let store = world.open();
    store.database().execute_batch("INSERT INTO own_handle (handle) VALUES ('not a handle')").unwrap();
    assert!(matches!(store.own_handles(), Err(StoreError::Damaged(_))));
    store.database().pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let profile = Profile::at(world.0.path(), CHEAP).unwrap();
    let database = profile.open(&passphrase(), rng(3)).unwrap();
    assert!(matches!(SqliteStore::new(database), Err(StoreError::Damaged(_))));
}
