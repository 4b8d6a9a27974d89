//! Sends that wait for their time in memory, for tests that are not about the store.
//!
//! - Answers as the embedded store does, at once; passes the same conformance suite. Knows no devices, so none is ever gone.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use halcyon_courier::HoldState;
use halcyon_server::ports::{DirectoryStoreError, Held, HoldRoom, Holds};
use halcyon_types::{AccountId, HoldId, Timestamp};

/// Holds that live as long as this value.
#[derive(Default)]
pub struct MemoryHolds {
    rows: Mutex<BTreeMap<(AccountId, HoldId), Row>>,
}

struct Row {
    held: Held,
    take: Timestamp,
    state: HoldState,
    /// Whether it is to be taken still.
    waits: bool,
}

impl MemoryHolds {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<(AccountId, HoldId), Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Holds for MemoryHolds {
    async fn hold(&self, held: Held, replaces: bool, room: HoldRoom) -> Result<HoldState, DirectoryStoreError> {
        let mut rows = self.rows();
        let key = (held.account, held.hold);
        match rows.get(&key) {
            Some(row) if row.state != HoldState::Held => return Ok(row.state),
            Some(row) if row.held.device != held.device => return Ok(HoldState::NotKnown),
            None if replaces => return Ok(HoldState::NotKnown),
            Some(_) | None => {}
        }
        let others = rows.iter().filter(|(of, row)| **of != key && row.waits && row.held.device == held.device);
        let (count, bytes) = others.fold((1, held.send.len()), |(n, sum), (_, row)| (n + 1, sum + row.held.send.len()));
        if count > room.count || bytes > room.bytes {
            return Ok(HoldState::TooMany);
        }
        let device = held.device;
        rows.insert(key, Row { take: held.due, held, state: HoldState::Held, waits: true });
        let mut done: Vec<(Timestamp, (AccountId, HoldId))> = rows
            .iter()
            .filter(|(_, row)| !row.waits && row.held.device == device)
            .map(|(of, row)| (row.held.due, *of))
            .collect();
        done.sort_unstable();
        for (_, old) in done.iter().rev().skip(room.remembered) {
            rows.remove(old);
        }
        Ok(HoldState::Held)
    }

    async fn ask(&self, account: AccountId, hold: HoldId, cancel: bool) -> Result<HoldState, DirectoryStoreError> {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&(account, hold)) else { return Ok(HoldState::NotKnown) };
        if cancel && row.state == HoldState::Held {
            row.state = HoldState::Cancelled;
            row.waits = false;
        }
        Ok(row.state)
    }

    async fn next(&self) -> Result<Option<Timestamp>, DirectoryStoreError> {
        Ok(self.rows().values().filter(|row| row.waits).map(|row| row.take).min())
    }

    async fn take(&self, now: Timestamp) -> Result<Option<Held>, DirectoryStoreError> {
        let mut rows = self.rows();
        let due = rows.values_mut().filter(|row| row.waits && row.take <= now).min_by_key(|row| row.take);
        Ok(due.map(|row| {
            row.state = HoldState::Released;
            row.held.clone()
        }))
    }

    async fn made(
        &self,
        account: AccountId,
        hold: HoldId,
        rest: Option<(Bytes, Timestamp)>,
    ) -> Result<(), DirectoryStoreError> {
        if let Some(row) = self.rows().get_mut(&(account, hold)) {
            row.waits = rest.is_some();
            if let Some((send, take)) = rest {
                row.held.send = send;
                row.take = take;
            }
        }
        Ok(())
    }
}
