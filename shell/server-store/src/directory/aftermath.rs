//! What is still to be done after a commit. Port: [`AftermathStore`].

use halcyon_server::ports::{Aftermath, AftermathId, AftermathStore, Deed, DirectoryStoreError};
use halcyon_types::{AccountId, DeviceId};
use rusqlite::{Connection, Row, params};

use super::DirectoryDb;
use super::columns::{array, bytes, optional_array};

#[async_trait::async_trait]
impl AftermathStore for DirectoryDb {
    async fn pending(&self) -> Result<Vec<Aftermath>, DirectoryStoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT aftermath, account, alert, device FROM aftermath ORDER BY position")?
                .query_map([], one)?
                .collect()
        })
        .await
    }

    async fn done(&self, ids: Vec<AftermathId>) -> Result<(), DirectoryStoreError> {
        self.write(move |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM aftermath WHERE aftermath = ?1")?;
            for id in ids {
                delete.execute([id.0])?;
            }
            Ok(())
        })
        .await
    }
}

/// Stores what is to be done in the transaction that makes it necessary.
pub(super) fn keep(connection: &Connection, wake: &[Aftermath]) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO aftermath (aftermath, account, alert, device) VALUES (?1, ?2, ?3, ?4)")?;
    for aftermath in wake {
        let id = aftermath.id.0;
        match &aftermath.deed {
            Deed::Alert { account, alert } => {
                insert.execute(params![id, account.as_bytes(), alert.as_ref(), None::<Vec<u8>>])?;
            }
            Deed::Revoke { device } => {
                insert.execute(params![id, None::<Vec<u8>>, None::<Vec<u8>>, device.as_bytes()])?;
            }
        }
    }
    Ok(())
}

fn one(row: &Row<'_>) -> rusqlite::Result<Aftermath> {
    let deed = match optional_array(row, 3)? {
        Some(device) => Deed::Revoke { device: DeviceId::from_bytes(device) },
        None => Deed::Alert { account: AccountId::from_bytes(array(row, 1)?), alert: bytes(row, 2)? },
    };
    Ok(Aftermath { id: AftermathId(array(row, 0)?), deed })
}
