//! Mailboxes in memory, for simulation and for tests that are not about the store.
//!
//! - Answers as the embedded store does, at once; passes the same conformance suite.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use halcyon_server::ports::{Append, AppendOutcome, MailboxError, Mailboxes, ReadLimit, ShownEpoch, StoredEnvelope};
use halcyon_types::{DeviceId, Storing, Timestamp, Topic};

/// Mailboxes that live as long as this value.
pub struct MemoryMailboxes {
    envelopes_max: u64,
    bytes_max: u64,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    rows: BTreeMap<u64, Append>,
    epochs: BTreeMap<DeviceId, u64>,
    last: u64,
}

impl MemoryMailboxes {
    /// Returns empty mailboxes with these limits for each device.
    #[must_use]
    pub fn new(envelopes_max: u64, bytes_max: u64) -> Self {
        Self { envelopes_max, bytes_max, log: Mutex::default() }
    }

    /// Returns how many envelopes wait for a device.
    #[must_use]
    pub fn waiting(&self, device: DeviceId) -> usize {
        self.log().rows.values().filter(|row| row.device == device).count()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryMailboxes {
    fn default() -> Self {
        Self::new(10_000, 64 << 20)
    }
}

impl Log {
    fn append(&mut self, append: Append, envelopes_max: u64, bytes_max: u64) -> AppendOutcome {
        let same = |row: &Append| row.device == append.device && row.topic == append.topic;
        let replaced = match append.topic.storing() {
            Storing::Queue => None,
            Storing::Latest => self.rows.iter().find(|(_, row)| same(row)).map(|(position, _)| *position),
        };
        let others =
            self.rows.iter().filter(|(position, row)| row.device == append.device && Some(**position) != replaced);
        let (envelopes, bytes) = others
            .fold((1, append.envelope.len() as u64), |(n, sum), (_, row)| (n + 1, sum + row.envelope.len() as u64));
        if envelopes > envelopes_max || bytes > bytes_max {
            return AppendOutcome::Quota;
        }
        if let Some(position) = replaced {
            self.rows.remove(&position);
        }
        self.last += 1;
        self.rows.insert(self.last, append);
        AppendOutcome::Accepted(self.last)
    }
}

#[async_trait::async_trait]
impl Mailboxes for MemoryMailboxes {
    async fn append(&self, batch: Vec<Append>, shown: Vec<ShownEpoch>) -> Result<Vec<AppendOutcome>, MailboxError> {
        let mut log = self.log();
        for ShownEpoch { device, epoch } in shown {
            let remembered = log.epochs.entry(device).or_default();
            *remembered = epoch.max(*remembered); // COU-18
        }
        Ok(batch.into_iter().map(|append| log.append(append, self.envelopes_max, self.bytes_max)).collect())
    }

    async fn epoch(&self, device: DeviceId) -> Result<u64, MailboxError> {
        Ok(self.log().epochs.get(&device).copied().unwrap_or_default())
    }

    async fn read(
        &self,
        device: DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
    ) -> Result<Vec<StoredEnvelope>, MailboxError> {
        let log = self.log();
        let wanted = log
            .rows
            .range(after.saturating_add(1)..)
            .filter(|(_, row)| row.device == device && row.expires > now && topics.contains(&row.topic));
        let mut found: Vec<StoredEnvelope> = Vec::new();
        let mut bytes = 0;
        for (position, row) in wanted.take(limit.count) {
            bytes += row.envelope.len();
            if bytes > limit.bytes && !found.is_empty() {
                break;
            }
            found.push(StoredEnvelope { position: *position, envelope: Bytes::clone(&row.envelope) });
        }
        Ok(found)
    }

    async fn acknowledge(&self, device: DeviceId, positions: Vec<u64>) -> Result<(), MailboxError> {
        let mut log = self.log();
        for position in positions {
            if log.rows.get(&position).is_some_and(|row| row.device == device) {
                log.rows.remove(&position);
            }
        }
        Ok(())
    }

    async fn clear(&self, device: DeviceId) -> Result<(), MailboxError> {
        let mut log = self.log();
        log.rows.retain(|_, row| row.device != device);
        log.epochs.remove(&device);
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<usize, MailboxError> {
        let mut log = self.log();
        let before = log.rows.len();
        log.rows.retain(|_, row| row.expires > now);
        Ok(before - log.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::mailboxes as conformance;

    /// COU-18, COU-19, COU-31, COU-32, COU-45, COU-52, COU-54
    #[tokio::test]
    async fn memory_conforms() {
        conformance::all(|| MemoryMailboxes::new(conformance::ENVELOPES_MAX, conformance::BYTES_MAX)).await;
    }
}
