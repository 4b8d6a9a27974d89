//! A machine's disk, in memory: it loses power when told to, and then keeps what a real one might have kept.
//!
//! Owns the files of one machine, what of them is durable, and whether the machine has power. Does not know who uses it: it is the
//! disk of the client's store, and the files below the server's databases.
//!
//! - What was synced stays. Of what was written since, a power cut keeps all of what came before a moment, and of what came at that
//!   moment and later each 16 bytes or not, but never the first of it: so a commit that was not synced is whole or gone.
//! - Without power every call fails, for whoever still holds the disk of a process that died.
//! - What a failed sync did not write is never written by a later one: the machine holds it in memory and believes it clean, so another
//!   process still reads it, until the power fails.
//! - A full disk refuses what makes a file longer.

mod change;
mod files;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_client_store::disk::{Disk, DiskFile, Lock};
use rand::{Rng, rngs::StdRng};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use files::DatabaseOn;

use self::{
    change::{Change, NameChange},
    files::OpenSimFile,
};
use crate::watch::Watcher;

/// What a crash leaves of the unsynced work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died, the machine did not: everything.
    Kill,
    /// The machine lost power: some of it, the end torn.
    PowerCut,
    /// The machine lost power: nothing.
    PowerCutNothingKept,
}

/// When the power fails, counted from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fuse {
    /// At the next sync, before it did anything.
    BeforeSync,
    /// At the next sync, after it did its work; nobody hears of it.
    AfterSync,
}

/// The disk. Cloning shares it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Rung when the power fails.
    pub dark: Arc<Notify>,
}

#[derive(Default)]
struct State {
    files: Vec<SimFile>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<(Instant, NameChange)>,
    fuse: Option<Fuse>,
    is_dark: bool,
    /// The next sync of this file fails, and loses what it should have written.
    failing: Option<String>,
    failed_syncs: u64,
    /// Whoever writes does not hear of it: to see that it is found out.
    fails_in_silence: bool,
    /// Bytes that all files may have together.
    capacity: Option<usize>,
    /// Every sync reports success and does nothing: to see that it is found out.
    lies: bool,
    syncs: u64,
    watcher: Option<Watcher>,
}

#[derive(Default)]
struct SimFile {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(Instant, Change)>,
    /// What the last sync wrote, from the first byte to the last.
    recent: Range<usize>,
    /// A sync of it failed in this life of the machine: what is read may not be what is durable, with nothing pending.
    has_lost: bool,
}

impl SimFile {
    /// Makes durable what was written.
    fn settle(&mut self) {
        let written = |(_, change): &(Instant, Change)| match change {
            Change::Write { offset, bytes } => Some(*offset..offset + bytes.len()),
            Change::Resize(_) => None,
        };
        let hull = |a: Range<usize>, b: Range<usize>| a.start.min(b.start)..a.end.max(b.end);
        self.recent = self.pending.iter().filter_map(written).reduce(hull).unwrap_or_default();
        for (_, change) in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }
}

impl SimDisk {
    /// Returns an empty disk; `watcher` sees every byte that is written.
    #[must_use]
    pub fn new(watcher: Option<Watcher>) -> Self {
        let state = State { watcher, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), dark: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the power fail before long.
    pub fn light(&self, fuse: Fuse) {
        self.state().fuse = Some(fuse);
    }

    /// Takes back what [`light`](Self::light) set.
    pub fn unlight(&self) {
        self.state().fuse = None;
    }

    /// Lets the next sync of a file fail, once.
    pub fn fail_sync_of(&self, name: &str) {
        self.state().failing = Some(name.to_owned());
    }

    /// Reports success where a sync fails.
    pub fn fail_in_silence(&self) {
        self.state().fails_in_silence = true;
    }

    /// Takes back what [`fail_sync_of`](Self::fail_sync_of) set.
    pub fn do_not_fail(&self) {
        self.state().failing = None;
    }

    /// Returns how many syncs have failed.
    #[must_use]
    pub fn failed_syncs(&self) -> u64 {
        self.state().failed_syncs
    }

    /// Leaves room for so many bytes more, or for all that come.
    pub fn leave_room(&self, bytes: Option<usize>) {
        let mut state = self.state();
        let used = state.used();
        state.capacity = bytes.map(|bytes| used + bytes);
    }

    /// Says whether there is a limit to what it holds.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.state().capacity.is_some()
    }

    /// Lets the power fail now.
    pub fn cut_power(&self) {
        self.state().is_dark = true;
        self.dark.notify_waiters();
    }

    /// Says whether the power has failed.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.state().is_dark
    }

    /// Lets every sync from now on report success and do nothing.
    pub fn lie_about_syncs(&self) {
        self.state().lies = true;
    }

    /// Returns how many changes would be lost if the power failed now.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        let state = self.state();
        state.files.iter().map(|file| file.pending.len()).sum::<usize>() + state.pending_names.len()
    }

    /// Returns whether a power cut would leave these bytes in a database or its log.
    #[must_use]
    pub fn keeps(&self, database: &str, bytes: &[u8]) -> bool {
        let state = self.state();
        let log = format!("{database}-wal");
        let finder = memchr::memmem::Finder::new(bytes);
        [log.as_str(), database].into_iter().filter_map(|name| state.durable_names.get(name)).any(|id| {
            let SimFile { durable, recent, .. } = &state.files[*id];
            // What was just written is what is asked for, as a rule.
            let found_there = durable.get(recent.clone()).is_some_and(|recent| finder.find(recent).is_some());
            found_there || finder.find(durable).is_some()
        })
    }

    /// Returns a copy of what is durable, as a backup keeps it.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state();
        let copy = |file: &SimFile| SimFile {
            content: file.durable.clone(),
            durable: file.durable.clone(),
            ..SimFile::default()
        };
        let next = State {
            files: state.files.iter().map(copy).collect(),
            names: state.durable_names.clone(),
            durable_names: state.durable_names.clone(),
            syncs: state.syncs,
            watcher: state.watcher.clone(),
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(next)), dark: Arc::default() }
    }

    /// Returns how many syncs there were.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Returns the disk as the next process finds it. This one stays dark.
    #[must_use]
    pub fn after(&self, crash: Crash, rng: &mut StdRng) -> Self {
        let mut state = self.state();
        state.is_dark = true;
        let state = &mut *state;
        // What came at the same moment shares a fate: how many writes a commit takes depends on bytes that are not the seed's.
        let mut moments: Vec<Instant> = state.files.iter().flat_map(|file| &file.pending).map(|(at, _)| *at).collect();
        moments.extend(state.pending_names.iter().map(|(at, _)| *at));
        moments.sort_unstable();
        moments.dedup();
        let kept = match crash {
            Crash::Kill => moments.len(),
            Crash::PowerCut => rng.gen_range(0..=moments.len()),
            Crash::PowerCutNothingKept => 0,
        };
        let torn = moments.get(kept).copied().filter(|_| crash == Crash::PowerCut);
        let is_whole = |at: &Instant| kept == moments.len() || *at < moments[kept];
        let mut names = std::mem::take(&mut state.durable_names);
        for (_, change) in state.pending_names.iter().filter(|(at, _)| is_whole(at)) {
            change.apply(&mut names);
        }
        let mut tearing: StdRng = rand::SeedableRng::seed_from_u64(rng.r#gen());
        let files = std::mem::take(&mut state.files);
        let files = files.into_iter().map(|file| {
            let mut content = file.durable;
            let mut first = true;
            for (at, change) in &file.pending {
                if is_whole(at) {
                    change.apply(&mut content);
                } else if torn.is_some() {
                    change.tear(&mut content, first, &mut tearing);
                    first = false;
                }
            }
            let durable = content.clone();
            // The machine lives on, and with it what it believes to have written.
            let has_lost = file.has_lost && crash == Crash::Kill;
            let content = if has_lost { file.content } else { content };
            SimFile { content, durable, has_lost, ..SimFile::default() }
        });
        let files = files.collect();
        let next = State {
            files,
            durable_names: names.clone(),
            names,
            lies: state.lies,
            capacity: state.capacity,
            fails_in_silence: state.fails_in_silence,
            syncs: state.syncs,
            watcher: state.watcher.clone(),
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(next)), dark: Arc::default() }
    }

    fn open_file(&self, name: &str) -> io::Result<OpenSimFile> {
        let mut state = self.state();
        state.powered()?;
        let id = match state.names.get(name) {
            Some(id) => *id,
            None => {
                state.files.push(SimFile::default());
                let id = state.files.len() - 1;
                state.rename_now(NameChange::Create(name.to_owned(), id));
                id
            }
        };
        Ok(OpenSimFile { disk: self.clone(), id })
    }

    fn file_exists(&self, name: &str) -> io::Result<bool> {
        let state = self.state();
        state.powered()?;
        Ok(state.names.contains_key(name))
    }

    /// Runs a sync of a file, or of the names, if the power and the disk last.
    fn synced(&self, file: Option<usize>, sync: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        if let Some(file) = file
            && state.failing.as_ref().and_then(|name| state.names.get(name)) == Some(&file)
        {
            state.failing = None;
            state.failed_syncs += 1;
            state.files[file].pending.clear();
            state.files[file].has_lost = true;
            return if state.fails_in_silence { Ok(()) } else { Err(io::Error::other("input/output error")) };
        }
        let fuse = state.fuse.take();
        if fuse != Some(Fuse::BeforeSync) && !state.lies {
            sync(&mut state);
            state.syncs += 1;
        }
        if fuse.is_some() {
            state.is_dark = true;
            drop(state);
            self.dark.notify_waiters();
            return Err(power_is_out());
        }
        Ok(())
    }
}

impl State {
    fn powered(&self) -> io::Result<()> {
        if self.is_dark { Err(power_is_out()) } else { Ok(()) }
    }

    /// Bytes in all files that have a name.
    fn used(&self) -> usize {
        self.names.values().map(|id| self.files[*id].content.len()).sum()
    }

    /// Says whether a file may become so long.
    fn has_room(&self, file: usize, size: usize) -> bool {
        let longer = size.saturating_sub(self.files[file].content.len());
        longer == 0 || self.capacity.is_none_or(|capacity| self.used() + longer <= capacity)
    }

    fn rename_now(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push((Instant::now(), change));
    }
}

fn power_is_out() -> io::Error {
    io::Error::other("the power is out")
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.open_file(name)?))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.file_exists(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename_now(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename_now(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.synced(None, |state| {
            state.durable_names = state.names.clone();
            state.pending_names.clear();
        })
    }

    fn others_access(&self, _name: &str) -> io::Result<u32> {
        Ok(0)
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        Ok(Some(Box::new(NoLock)))
    }
}

/// A world starts one process a profile at a time, so there is nobody to lock out.
struct NoLock;

impl Lock for NoLock {}
