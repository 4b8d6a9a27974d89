//! Who is connected, and the way to each of them. Spec: 30-courier.md (COU-13, COU-55, COU-56).
//!
//! Owns one small inbox a connection: what others have for it. Does not know frames or mailboxes.
//!
//! - No lock is held while anything waits; each guards a few instructions.
//! - An inbox is bounded: what does not fit is in storage, and the connection is told to look there.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use halcyon_courier::hub::Notification;
use halcyon_courier::{Close, Sent};
use halcyon_types::DeviceId;
use tokio::sync::Notify;

/// All connections of this server.
pub(super) struct Connections {
    shards: [Mutex<HashMap<DeviceId, Arc<Handle>>>; SHARDS],
    count: AtomicUsize,
    /// Rung when the last one is gone.
    empty: Notify,
}

/// The way to one connection.
pub(super) struct Handle {
    device: DeviceId,
    inbox: Mutex<Inbox>,
}

/// What waits for a connection's task.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) sent: Vec<Sent>,
    pub(super) notifications: VecDeque<Notification>,
    /// Set once: the connection is to end.
    pub(super) close: Option<Close>,
    /// There was more for this device than fits here.
    overflowed: bool,
    waker: Option<Waker>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), count: AtomicUsize::new(0), empty: Notify::new() }
    }
}

impl Connections {
    /// Adds a connection; one that the device had before ends (COU-13).
    pub(super) fn register(&self, device: DeviceId) -> Arc<Handle> {
        let handle = Arc::new(Handle { device, inbox: Mutex::default() });
        self.count.fetch_add(1, Ordering::SeqCst);
        metrics::gauge!("halcyon_courier_connections").increment(1.0);
        let replaced = self.shard(&device).insert(device, handle.clone());
        if let Some(replaced) = replaced {
            replaced.close(Close::replaced());
        }
        handle
    }

    /// Removes a connection that ended, if it was not replaced already.
    pub(super) fn remove(&self, handle: &Arc<Handle>) {
        let mut shard = self.shard(&handle.device);
        if shard.get(&handle.device).is_some_and(|present| Arc::ptr_eq(present, handle)) {
            shard.remove(&handle.device);
        }
        drop(shard);
        metrics::gauge!("halcyon_courier_connections").decrement(1.0);
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.empty.notify_waiters();
        }
    }

    /// Offers something to a device, if it is connected.
    pub(super) fn offer(&self, device: &DeviceId, notification: Notification) {
        // Cloned, so that the shard is free again before the connection's task is woken.
        let handle = self.shard(device).get(device).cloned();
        if let Some(handle) = handle {
            handle.offer(notification);
        }
    }

    /// Ends the connection of a device, if there is one.
    pub(super) fn close(&self, device: &DeviceId, close: Close) {
        let handle = self.shard(device).get(device).cloned();
        if let Some(handle) = handle {
            handle.close(close);
        }
    }

    /// Ends all, and waits until they have.
    pub(super) async fn close_all(&self, close: &Close) {
        for shard in &self.shards {
            let mut handles: Vec<(DeviceId, Arc<Handle>)> =
                lock(shard).iter().map(|(device, handle)| (*device, handle.clone())).collect();
            // In an order that hangs on nothing but the devices, so that a run with the same seed is the same run.
            handles.sort_unstable_by_key(|(device, _)| *device);
            handles.iter().for_each(|(_, handle)| handle.close(close.clone()));
        }
        loop {
            let emptied = self.empty.notified();
            tokio::pin!(emptied);
            // Listening starts before looking, so that the last one is not missed.
            emptied.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Returns how many there are, with those that are ending.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn shard(&self, device: &DeviceId) -> MutexGuard<'_, HashMap<DeviceId, Arc<Handle>>> {
        // A device id is a hash: any of its bytes spreads well.
        lock(&self.shards[usize::from(device.as_bytes()[0]) % SHARDS])
    }
}

impl Handle {
    /// Hands the answer to a send over.
    pub(super) fn sent(&self, sent: Sent) {
        self.put(|inbox| inbox.sent.push(sent));
    }

    fn offer(&self, notification: Notification) {
        self.put(|inbox| {
            if inbox.notifications.len() < NOTIFICATIONS_MAX {
                inbox.notifications.push_back(notification);
            } else {
                inbox.overflowed = true;
            }
        });
    }

    fn close(&self, close: Close) {
        // The first reason stays.
        self.put(|inbox| {
            inbox.close.get_or_insert(close);
        });
    }

    /// Takes everything, and arranges for the task to be woken by what comes later.
    pub(super) fn take(&self, cx: &Context<'_>) -> Inbox {
        let mut inbox = lock(&self.inbox);
        let mut taken = Inbox {
            sent: std::mem::take(&mut inbox.sent),
            notifications: std::mem::take(&mut inbox.notifications),
            close: inbox.close.take(),
            overflowed: std::mem::take(&mut inbox.overflowed),
            waker: None,
        };
        if !inbox.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inbox.waker = Some(cx.waker().clone());
        }
        drop(inbox);
        if taken.overflowed {
            taken.notifications.push_back(Notification::Wake);
        }
        taken
    }

    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        let mut inbox = lock(&self.inbox);
        change(&mut inbox);
        let waker = inbox.waker.clone();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held left a whole value: every change is a single push or take.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks over the connections: many more than threads, so that two seldom meet.
const SHARDS: usize = 64;

/// Notifications that wait in an inbox: the window's default, which is all that could be delivered anyway.
const NOTIFICATIONS_MAX: usize = 64;
