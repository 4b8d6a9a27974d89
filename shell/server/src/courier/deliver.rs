//! Takes notifications to connected devices: what was just accepted, and what waits in storage. Spec: 30-courier.md §5.
//!
//! Owns the way from an accepted envelope to a connection, and the reads of a mailbox. Which of the two a connection
//! needs, and how much, is [`halcyon_courier::hub`]'s to say.

use std::sync::Arc;

use halcyon_courier::Topics;
use halcyon_courier::hub::{Notification, Read, Stored};
use halcyon_failpoint::{Point, hit};
use halcyon_types::DeviceId;

use super::Shared;
use super::commit::Entry;
use crate::ports::{MailboxError, ReadLimit};

/// Offers an accepted envelope to its device; the bytes are shared with whoever stored them, not copied.
pub(super) fn offer(shared: &Shared, entry: Entry, position: Option<u64>) {
    hit(Point::ServerPush);
    let Entry { device, topic, envelope, .. } = entry;
    let notification = match position {
        Some(position) => Notification::Stored { position, topic, envelope },
        None => Notification::Transient { topic, envelope },
    };
    shared.connections.offer(&device, notification);
}

/// Reads what a connection asked for.
pub(super) async fn read(
    shared: Arc<Shared>,
    device: DeviceId,
    topics: Topics,
    read: Read,
) -> Result<Vec<Stored>, MailboxError> {
    let limit = ReadLimit { count: read.count, bytes: read.bytes };
    let now = shared.ports.clock.now(); // COU-54
    let found = shared.ports.mailboxes.read(device, topics.as_slice(), read.after, now, limit).await?;
    Ok(found.into_iter().map(|stored| Stored { position: stored.position, envelope: stored.envelope }).collect())
}
