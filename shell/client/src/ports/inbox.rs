//! Where what is delivered is kept until somebody unlocks the profile. Spec: 70-keychain.md (KEY-11).

use super::store::StoreError;

/// Durable storage of deliveries that cannot be opened yet.
///
/// Blocking: adding takes a disk sync.
pub trait Inbox: Send {
    /// Adds a delivery, and returns when it is on stable storage.
    ///
    /// # Errors
    /// [`StoreError`]; then the delivery is not to be acknowledged.
    fn add(&mut self, delivery: &[u8]) -> Result<(), StoreError>;
}
