//! For whom much waits in the table, so that everybody else's mailbox need not be counted before it takes an envelope (COU-45).
//!
//! Owns the table `heavy`. Does not know the limits of a mailbox.
//!
//! - Whoever is not in it has no more than [`LIGHT`] in the table: only folding adds to the table, and folding looks.
//! - Whoever is in it may have less by now, and is only counted in vain.

use std::collections::HashSet;

use halcyon_types::DeviceId;
use rusqlite::{Connection, Statement};

use super::quota::Load;

/// What a device may have in the table without being in `heavy`. Far below the limits that mailboxes have by default.
pub(super) const LIGHT: Load = Load { envelopes: 1_024, bytes: 4 << 20 };

/// The devices, and what the running transaction does to them.
#[derive(Default)]
pub(super) struct Heavy {
    devices: HashSet<DeviceId>,
    running: Vec<(DeviceId, bool)>,
}

impl Heavy {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT device FROM heavy")?;
        let devices = statement.query_map([], |row| row.get(0).map(DeviceId::from_bytes))?.collect::<Result<_, _>>()?;
        Ok(Self { devices, running: Vec::new() })
    }

    pub(super) fn contains(&self, device: &DeviceId) -> bool {
        self.devices.contains(device)
    }

    /// Notes what a device has in the table.
    pub(super) fn note(
        &mut self,
        device: DeviceId,
        load: Load,
        statements: &mut Statements<'_>,
    ) -> rusqlite::Result<()> {
        let is_heavy = !load.fits(&LIGHT);
        if is_heavy == self.contains(&device) {
            return Ok(());
        }
        let statement = if is_heavy { &mut statements.insert } else { &mut statements.delete };
        statement.execute([device.as_bytes()])?;
        self.running.push((device, is_heavy));
        Ok(())
    }

    pub(super) fn committed(&mut self) {
        for (device, is_heavy) in self.running.drain(..) {
            if is_heavy {
                self.devices.insert(device);
            } else {
                self.devices.remove(&device);
            }
        }
    }

    pub(super) fn rolled_back(&mut self) {
        self.running.clear();
    }
}

/// What is said to the table.
pub(super) struct Statements<'c> {
    insert: Statement<'c>,
    delete: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: connection.prepare("INSERT OR IGNORE INTO heavy (device) VALUES (?1)")?,
            delete: connection.prepare("DELETE FROM heavy WHERE device = ?1")?,
        })
    }
}
