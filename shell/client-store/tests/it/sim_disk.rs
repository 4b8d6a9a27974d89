//! A disk in memory that loses power when told to, and then keeps what a real one might have kept.
//!
//! What was synced stays. Of every write since, each 16 bytes may have reached the disk or not; of creations,
//! renamings and removals since the last sync of the folder, the first few did.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use halcyon_client_store::disk::{Disk, DiskFile, Lock};
use rand::{Rng, rngs::StdRng};

/// Unit in which a write is torn. Disks keep sectors whole, but SQLite does not count on it, and neither do we.
const TORN_BYTES: usize = 16;

/// What of the unsynced work a crash keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died, the machine did not: everything.
    Kill,
    /// The machine lost power: whatever it likes.
    PowerCut,
    /// The machine lost power: nothing.
    PowerCutNothingKept,
}

#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: Vec<SimFile>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    /// Every byte that was ever handed to the disk, for whoever looks for plaintext.
    written: Vec<u8>,
    steps: usize,
    power_fails_at: Option<usize>,
    next_sync_fails: bool,
    syncs_lie: bool,
    full: bool,
    others_access: u32,
}

#[derive(Default)]
struct SimFile {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Clone)]
enum NameChange {
    Create(String, usize),
    Remove(String),
    Rename(String, String),
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets the power fail at the `steps`th change from now on; that one may be done in part.
    pub fn power_fails_after(&self, steps: usize) {
        let mut state = self.state();
        state.power_fails_at = Some(state.steps + steps);
    }

    /// Says whether the power has failed.
    pub fn is_dark(&self) -> bool {
        let state = self.state();
        state.power_fails_at.is_some_and(|at| state.steps >= at)
    }

    pub fn steps(&self) -> usize {
        self.state().steps
    }

    pub fn fail_next_sync(&self) {
        self.state().next_sync_fails = true;
    }

    /// Lets every sync from now on report success and do nothing.
    pub fn lie_about_syncs(&self) {
        self.state().syncs_lie = true;
    }

    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    pub fn let_others_access(&self, mode: u32) {
        self.state().others_access = mode;
    }

    pub fn written(&self) -> Vec<u8> {
        self.state().written.clone()
    }

    pub fn files(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].content.clone()
    }

    /// Returns a disk with the same files, everything durable.
    pub fn copy(&self) -> Self {
        self.crash(Crash::Kill, &mut rand::SeedableRng::seed_from_u64(0))
    }

    /// Changes a file behind everybody's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let id = state.names[name];
        change(&mut state.files[id].content);
        state.files[id].durable = state.files[id].content.clone();
    }

    pub fn lose(&self, name: &str) {
        self.state().names.remove(name);
    }

    /// Returns the disk as it is found after the crash.
    pub fn crash(&self, crash: Crash, rng: &mut StdRng) -> Self {
        let state = self.state();
        let kept = match crash {
            Crash::Kill => state.pending_names.len(),
            Crash::PowerCut => rng.gen_range(0..=state.pending_names.len()),
            Crash::PowerCutNothingKept => 0,
        };
        let mut names = state.durable_names.clone();
        for change in &state.pending_names[..kept] {
            change.apply(&mut names);
        }
        let files: Vec<SimFile> = state
            .files
            .iter()
            .map(|file| {
                let content = match crash {
                    Crash::Kill => file.content.clone(),
                    Crash::PowerCut => file.after_power_cut(rng),
                    Crash::PowerCutNothingKept => file.durable.clone(),
                };
                SimFile { durable: content.clone(), content, pending: Vec::new() }
            })
            .collect();
        let state = State { files, durable_names: names.clone(), names, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl SimFile {
    fn after_power_cut(&self, rng: &mut StdRng) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.pending {
            match (rng.gen_range(0..4), change) {
                (0, _) => {}
                (1, Change::Write { offset, bytes }) => {
                    // Torn: each part of the write got there or did not.
                    let mut at = *offset;
                    while at < offset + bytes.len() {
                        let end = ((at / TORN_BYTES + 1) * TORN_BYTES).min(offset + bytes.len());
                        if rng.r#gen() {
                            write(&mut content, at, &bytes[at - offset..end - offset]);
                        }
                        at = end;
                    }
                }
                (_, change) => change.apply(&mut content),
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write(content, *offset, bytes),
            Self::Resize(size) => content.resize(*size, 0),
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl State {
    /// Counts a step. The step at which the power fails happens, but nobody hears of it.
    fn step<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> io::Result<R> {
        self.powered()?;
        self.steps += 1;
        let done = change(self);
        self.powered()?;
        Ok(done)
    }

    fn powered(&self) -> io::Result<()> {
        match self.power_fails_at {
            Some(at) if self.steps >= at => Err(io::Error::other("the power is out")),
            _ => Ok(()),
        }
    }

    fn rename_now(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.powered()?;
        let id = match state.find(name) {
            Ok(id) => id,
            Err(_) => state.step(|state| {
                state.files.push(SimFile::default());
                let id = state.files.len() - 1;
                state.rename_now(NameChange::Create(name.to_owned(), id));
                id
            })?,
        };
        Ok(Box::new(OpenSimFile { disk: self.clone(), id }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let state = self.state();
        state.powered()?;
        Ok(state.find(name).is_ok())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.find(name)?;
        state.step(|state| state.rename_now(NameChange::Remove(name.to_owned())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.find(from)?;
        state.step(|state| state.rename_now(NameChange::Rename(from.to_owned(), to.to_owned())))
    }

    fn sync_folder(&self) -> io::Result<()> {
        // Syncing is a step of its own before it takes effect: the power may fail right before.
        self.state().step(|_| ())?;
        let mut state = self.state();
        if state.syncs_lie {
            return Ok(());
        }
        state.durable_names = state.names.clone();
        state.pending_names.clear();
        Ok(())
    }

    fn others_access(&self, _name: &str) -> io::Result<u32> {
        Ok(self.state().others_access)
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        Ok(Some(Box::new(NoLock)))
    }
}

struct NoLock;

impl Lock for NoLock {}

struct OpenSimFile {
    disk: SimDisk,
    id: usize,
}

impl OpenSimFile {
    fn change(&mut self, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.full && matches!(change, Change::Write { .. }) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Change::Write { bytes, .. } = &change {
            state.written.extend_from_slice(bytes);
        }
        state.step(|state| {
            let file = &mut state.files[self.id];
            change.apply(&mut file.content);
            file.pending.push(change);
        })
    }
}

impl DiskFile for OpenSimFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        state.powered()?;
        let rest = state.files[self.id].content.get(offset as usize..).unwrap_or_default();
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset: offset as usize, bytes: bytes.to_vec() })
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.change(Change::Resize(size as usize))
    }

    fn size(&mut self) -> io::Result<u64> {
        let state = self.disk.state();
        state.powered()?;
        Ok(state.files[self.id].content.len() as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step(|_| ())?;
        let fails = std::mem::take(&mut state.next_sync_fails);
        let lies = state.syncs_lie;
        let file = &mut state.files[self.id];
        if fails {
            // As on Linux: what it should have written is read as before, and no later sync writes it.
            file.pending.clear();
            return Err(io::Error::other("input/output error"));
        }
        if lies {
            return Ok(());
        }
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }
}
