//! What the outbox asks of its store, so that a plan costs by the devices that something waits for, not by what waits.
//!
//! Owns the forms of the answers. The records themselves are in [`record`](super::record).

use halcyon_types::{AccountId, DeviceId, EnvelopeId, Handle, MessageId, Timestamp};

use super::{OutboxJob, OutboxTarget, StoreError};

/// The first envelope that waits for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxHead {
    /// The place of its job: the earlier, the smaller.
    pub place: u64,
    /// The place of the last job that has an envelope for the device.
    pub last_place: u64,
    /// The envelope.
    pub envelope: EnvelopeId,
    /// Its job.
    pub message: MessageId,
    /// The device's account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// The target's handle.
    pub handle: Handle,
    /// Not to be sent before this (SND-3).
    pub not_before: Timestamp,
}

/// A target that has to be sealed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsealedTarget {
    /// The place of its job: the earlier, the smaller.
    pub place: u64,
    /// Its job.
    pub message: MessageId,
    /// The target, in the state [`ToSeal`](super::TargetState::ToSeal).
    pub target: OutboxTarget,
}

/// Queries of the outbox as a whole.
pub trait OutboxQueries {
    /// Returns for each device the first envelope that waits for it, by job and then in the order in which they were put; the whole
    /// in the same order.
    ///
    /// # Errors
    /// [`StoreError`], as for every query below.
    fn heads(&self) -> Result<Vec<OutboxHead>, StoreError>;

    /// Returns every target that has to be sealed for, in the order of the jobs and of their targets.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unsealed(&self) -> Result<Vec<UnsealedTarget>, StoreError>;

    /// Returns the jobs that were committed first before a time, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn created_before(&self, time: Timestamp) -> Result<Vec<OutboxJob>, StoreError>;

    /// Returns how many jobs there are.
    ///
    /// # Errors
    /// [`StoreError`]
    fn count(&self) -> Result<u64, StoreError>;
}
