//! Removal of what has lived long enough. Spec: 11-directory.md §6 (DIR-50), lifetimes of ACC-21, ACC-41, ACC-62, LNK-1.

use std::sync::Arc;

use halcyon_directory::query::first_kept_hour;

use crate::accounts::sign_in::SignIns;
use crate::ports::{Clock, DirectoryStoreError, Housekeeping};

/// How often to sweep. Expired things are refused at once wherever they are read; this only frees their place, and
/// bounds how long a record of the query log outlives its 30 days.
pub const SWEEP_EVERY: std::time::Duration = std::time::Duration::from_secs(300);

/// Sweeps.
pub struct Housekeeper {
    store: Arc<dyn Housekeeping>,
    sign_ins: Arc<SignIns>,
    clock: Arc<dyn Clock>,
}

impl Housekeeper {
    /// Puts the service together.
    #[must_use]
    pub fn new(store: Arc<dyn Housekeeping>, sign_ins: Arc<SignIns>, clock: Arc<dyn Clock>) -> Self {
        Self { store, sign_ins, clock }
    }

    /// Removes what expired by now. Returns how many rows of the store.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    pub async fn sweep(&self) -> Result<u64, DirectoryStoreError> {
        let now = self.clock.now();
        self.sign_ins.sweep();
        self.store.expire(now, first_kept_hour(now)).await
    }
}
