//! What lies on the disk: as programs see it, and as it is after a power cut.
//!
//! Owns the model of durability. Does not know FUSE.
//!
//! - A write is durable once a sync of its file succeeded; a name, once a sync of its folder did. Nothing else makes anything durable.
//! - A power cut keeps any of the other writes of a file, in any order, the last perhaps in part, and some first ones of the
//!   changes of a folder.
//! - Space is free again as soon as the last name of a file is gone: none of the programs keeps a file open that has none.
//! - After a sync that failed, what it should have written never becomes durable, whatever succeeds later, as on Linux.

use std::collections::BTreeMap;

use rand::{Rng, RngCore};

/// The number of a file or folder; the root is [`ROOT`].
pub type Number = u64;
/// The root folder.
pub const ROOT: Number = 1;
/// Space is given out in these.
pub const BLOCK: u64 = 4_096;

/// Why an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such file.
    NotFound,
    /// The name is taken.
    Exists,
    /// A folder is not empty.
    NotEmpty,
    /// A file where a folder is needed, or the reverse.
    WrongKind,
    /// The disk is full.
    Full,
    /// The disk failed.
    Failed,
    /// A rename from folder to folder: nobody needs one.
    TwoFolders,
}

/// The whole disk.
#[derive(Debug)]
pub struct Image {
    nodes: BTreeMap<Number, Node>,
    next: Number,
    /// Bytes that files may take; as much as there is memory if none.
    pub capacity: Option<u64>,
    /// Whether the power is cut.
    pub off: bool,
    /// The next sync of a file whose name contains this fails.
    pub fail_sync_of: Option<String>,
    /// Syncs say yes and do nothing: a disk that lies. For a test of the test.
    pub syncs_lie: bool,
    /// Writes that found no space.
    pub refused: u64,
}

#[derive(Debug)]
struct Node {
    mode: u16,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Folder { now: BTreeMap<String, Number>, durable: BTreeMap<String, Number>, changes: Vec<Change> },
    File { name: String, now: Vec<u8>, durable: Vec<u8>, unsynced: Vec<Write> },
}

/// Something done to a folder.
#[derive(Clone, Debug)]
enum Change {
    Put(String, Number),
    Remove(String),
    Rename(String, String),
}

/// Something done to a file.
#[derive(Clone, Debug)]
enum Write {
    At(usize, Vec<u8>),
    Size(usize),
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Writes that were not synced and are gone.
    pub dropped: usize,
    /// Those that survived in part.
    pub torn: usize,
    /// Those that survived although nobody had synced them.
    pub kept: usize,
    /// Changes of folders that are gone.
    pub names: usize,
}

/// What the kernel asks about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Which.
    pub number: Number,
    /// Bytes.
    pub size: u64,
    /// Permissions.
    pub mode: u16,
    /// Whether it is a folder.
    pub is_folder: bool,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// Returns an empty disk.
    #[must_use]
    pub fn new() -> Self {
        let root = Node { mode: 0o755, content: Content::folder() };
        let nodes = BTreeMap::from([(ROOT, root)]);
        Self { nodes, next: ROOT + 1, capacity: None, off: false, fail_sync_of: None, syncs_lie: false, refused: 0 }
    }

    /// Returns whether some folder has a file or folder of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.nodes.values().any(|node| match &node.content {
            Content::Folder { now, .. } => now.contains_key(name),
            Content::File { .. } => false,
        })
    }

    /// Returns the bytes that files take, in whole blocks.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.nodes.values().map(|node| blocks(node.content.size())).sum()
    }

    /// Returns the node of a name in a folder.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn find(&self, folder: Number, name: &str) -> Result<Attributes, Refusal> {
        self.check()?;
        let number = *self.entries(folder)?.get(name).ok_or(Refusal::NotFound)?;
        self.attributes(number)
    }

    /// Returns what is known of a node.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn attributes(&self, number: Number) -> Result<Attributes, Refusal> {
        self.check()?;
        let node = self.nodes.get(&number).ok_or(Refusal::NotFound)?;
        let is_folder = matches!(node.content, Content::Folder { .. });
        Ok(Attributes { number, size: node.content.size(), mode: node.mode, is_folder })
    }

    /// Returns the names in a folder.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn list(&self, folder: Number) -> Result<Vec<(String, Attributes)>, Refusal> {
        self.check()?;
        let entries = self.entries(folder)?;
        entries.iter().map(|(name, number)| Ok((name.clone(), self.attributes(*number)?))).collect()
    }

    /// Makes a file or a folder.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn make(&mut self, folder: Number, name: &str, mode: u16, is_folder: bool) -> Result<Attributes, Refusal> {
        self.check()?;
        if self.entries(folder)?.contains_key(name) {
            return Err(Refusal::Exists);
        }
        let number = self.next;
        self.next += 1;
        let content = if is_folder { Content::folder() } else { Content::file(name) };
        self.nodes.insert(number, Node { mode: mode & 0o777, content });
        self.change(folder, Change::Put(name.to_owned(), number))?;
        self.attributes(number)
    }

    /// Takes a name away, and with the only name of a file its space. A power cut may bring it back with what was synced.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn remove(&mut self, folder: Number, name: &str) -> Result<(), Refusal> {
        let found = self.find(folder, name)?;
        if found.is_folder && !self.entries(found.number)?.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.change(folder, Change::Remove(name.to_owned()))?;
        self.let_go(found.number);
        Ok(())
    }

    /// Gives a file another name in its folder, instead of what has it now.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn rename(&mut self, folder: Number, name: &str, to_folder: Number, to: &str) -> Result<(), Refusal> {
        if folder != to_folder {
            return Err(Refusal::TwoFolders);
        }
        let found = self.find(folder, name)?;
        let replaced = self.find(folder, to).ok().filter(|replaced| replaced.number != found.number);
        self.change(folder, Change::Rename(name.to_owned(), to.to_owned()))?;
        if let Some(replaced) = replaced {
            self.let_go(replaced.number);
        }
        if let Some(Node { content: Content::File { name, .. }, .. }) = self.nodes.get_mut(&found.number) {
            to.clone_into(name);
        }
        Ok(())
    }

    /// Sets permissions.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn set_mode(&mut self, number: Number, mode: u16) -> Result<(), Refusal> {
        self.check()?;
        self.nodes.get_mut(&number).ok_or(Refusal::NotFound)?.mode = mode & 0o777;
        Ok(())
    }

    /// Cuts a file, or fills it up with zeros.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn set_size(&mut self, number: Number, size: u64) -> Result<(), Refusal> {
        let size = usize::try_from(size).map_err(|_| Refusal::Full)?;
        self.write_down(number, Write::Size(size))
    }

    /// Returns some bytes of a file, fewer at its end.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn read(&self, number: Number, offset: u64, count: usize) -> Result<&[u8], Refusal> {
        self.check()?;
        let Some(Node { content: Content::File { now, .. }, .. }) = self.nodes.get(&number) else {
            return Err(Refusal::WrongKind);
        };
        let from = usize::try_from(offset).map_err(|_| Refusal::WrongKind)?.min(now.len());
        Ok(&now[from..from.saturating_add(count).min(now.len())])
    }

    /// Writes bytes into a file.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn write(&mut self, number: Number, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let offset = usize::try_from(offset).map_err(|_| Refusal::Full)?;
        self.write_down(number, Write::At(offset, bytes.to_vec()))
    }

    /// Makes what was written to a file, or done to a folder, durable.
    ///
    /// # Errors
    /// [`Refusal::Failed`]: it will never be.
    pub fn sync(&mut self, number: Number) -> Result<(), Refusal> {
        self.check()?;
        if self.syncs_lie {
            return Ok(());
        }
        let node = self.nodes.get_mut(&number).ok_or(Refusal::NotFound)?;
        match &mut node.content {
            Content::Folder { durable, changes, .. } => {
                changes.drain(..).for_each(|change| change.apply(durable));
            }
            Content::File { name, durable, unsynced, .. } => {
                if self.fail_sync_of.take_if(|part| name.contains(part.as_str())).is_some() {
                    unsynced.clear();
                    return Err(Refusal::Failed);
                }
                unsynced.drain(..).for_each(|write| write.apply(durable));
            }
        }
        Ok(())
    }

    /// Starts anew after a power cut, with what survived.
    pub fn restart(&mut self, rng: &mut impl RngCore) -> Loss {
        let mut loss = Loss::default();
        for node in self.nodes.values_mut() {
            node.content.survive(rng, &mut loss);
        }
        // What has no name is gone.
        let named: Vec<Number> = self.nodes.values().flat_map(|node| node.content.numbers()).chain([ROOT]).collect();
        self.nodes.retain(|number, _| named.contains(number));
        self.off = false;
        loss
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.off { Err(Refusal::Failed) } else { Ok(()) }
    }

    fn entries(&self, folder: Number) -> Result<&BTreeMap<String, Number>, Refusal> {
        match self.nodes.get(&folder) {
            Some(Node { content: Content::Folder { now, .. }, .. }) => Ok(now),
            Some(_) => Err(Refusal::WrongKind),
            None => Err(Refusal::NotFound),
        }
    }

    fn change(&mut self, folder: Number, change: Change) -> Result<(), Refusal> {
        self.check()?;
        match self.nodes.get_mut(&folder) {
            Some(Node { content: Content::Folder { now, changes, .. }, .. }) => {
                change.clone().apply(now);
                changes.push(change);
                Ok(())
            }
            _ => Err(Refusal::WrongKind),
        }
    }

    /// Forgets what programs saw in a file that has no name any more.
    fn let_go(&mut self, number: Number) {
        if let Some(Node { content: Content::File { now, unsynced, .. }, .. }) = self.nodes.get_mut(&number) {
            *now = Vec::new();
            *unsynced = Vec::new();
        }
    }

    fn write_down(&mut self, number: Number, write: Write) -> Result<(), Refusal> {
        self.check()?;
        let used = self.used();
        let capacity = self.capacity.unwrap_or(u64::MAX);
        let Some(Node { content: Content::File { now, unsynced, .. }, .. }) = self.nodes.get_mut(&number) else {
            return Err(Refusal::WrongKind);
        };
        let (before, after) = (blocks(now.len() as u64), blocks(write.size_after(now.len()) as u64));
        if after > before && used - before + after > capacity {
            self.refused += 1;
            return Err(Refusal::Full);
        }
        write.clone().apply(now);
        unsynced.push(write);
        Ok(())
    }
}

impl Content {
    fn folder() -> Self {
        Self::Folder { now: BTreeMap::new(), durable: BTreeMap::new(), changes: Vec::new() }
    }

    fn file(name: &str) -> Self {
        Self::File { name: name.to_owned(), now: Vec::new(), durable: Vec::new(), unsynced: Vec::new() }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Folder { .. } => 0,
            Self::File { now, .. } => now.len() as u64,
        }
    }

    fn numbers(&self) -> Vec<Number> {
        match self {
            Self::Folder { now, .. } => now.values().copied().collect(),
            Self::File { .. } => Vec::new(),
        }
    }

    fn survive(&mut self, rng: &mut impl RngCore, loss: &mut Loss) {
        match self {
            Self::Folder { now, durable, changes } => {
                let kept = rng.gen_range(0..=changes.len());
                loss.names += changes.len() - kept;
                changes.drain(..).take(kept).for_each(|change| change.apply(durable));
                now.clone_from(durable);
            }
            Self::File { now, durable, unsynced, .. } => {
                // All, none, or some of them: a disk writes in the order that it likes.
                let odds = [0.0, 0.5, 1.0][rng.gen_range(0..3)];
                for write in unsynced.drain(..) {
                    match write {
                        _ if !rng.gen_bool(odds) => loss.dropped += 1,
                        Write::At(offset, mut bytes) if bytes.len() > 1 && rng.gen_bool(TORN) => {
                            bytes.truncate(rng.gen_range(1..bytes.len()));
                            Write::At(offset, bytes).apply(durable);
                            loss.torn += 1;
                        }
                        write => {
                            write.apply(durable);
                            loss.kept += 1;
                        }
                    }
                }
                now.clone_from(durable);
            }
        }
    }
}

impl Change {
    fn apply(self, entries: &mut BTreeMap<String, Number>) {
        match self {
            Self::Put(name, number) => drop(entries.insert(name, number)),
            Self::Remove(name) => drop(entries.remove(&name)),
            Self::Rename(from, to) => {
                if let Some(number) = entries.remove(&from) {
                    entries.insert(to, number);
                }
            }
        }
    }
}

impl Write {
    fn size_after(&self, size: usize) -> usize {
        match self {
            Self::At(offset, bytes) => size.max(offset + bytes.len()),
            Self::Size(size) => *size,
        }
    }

    fn apply(self, content: &mut Vec<u8>) {
        content.resize(self.size_after(content.len()), 0);
        if let Self::At(offset, bytes) = self {
            content[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
    }
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

/// How many of the surviving writes survive in part.
const TORN: f64 = 0.2;

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn cut(image: &mut Image, seed: u64) -> Loss {
        image.off = true;
        image.restart(&mut StdRng::seed_from_u64(seed))
    }

    fn content(image: &Image, name: &str) -> Option<Vec<u8>> {
        let found = image.find(ROOT, name).ok()?;
        Some(image.read(found.number, 0, usize::MAX).unwrap().to_vec())
    }

    #[test]
    fn what_was_synced_survives_every_cut_and_the_rest_only_some() {
        let (mut lost, mut torn) = (0, 0);
        for seed in 0..100 {
            let mut image = Image::new();
            let file = image.make(ROOT, "log", 0o600, false).unwrap().number;
            image.write(file, 0, b"synced").unwrap();
            image.sync(file).unwrap();
            image.sync(ROOT).unwrap();
            image.write(file, 6, b" and not").unwrap();
            cut(&mut image, seed);
            let left = content(&image, "log").unwrap();
            assert!(left.starts_with(b"synced"), "{left:?}");
            lost += usize::from(left.len() == 6);
            torn += usize::from((7..14).contains(&left.len()));
        }
        assert!((1..100).contains(&lost) && torn > 0, "{lost} lost, {torn} torn");
    }

    #[test]
    fn a_name_is_durable_only_with_its_folder() {
        let survivors = (0..100).filter(|seed| {
            let mut image = Image::new();
            let file = image.make(ROOT, "new", 0o600, false).unwrap().number;
            image.sync(file).unwrap();
            cut(&mut image, *seed);
            content(&image, "new").is_some()
        });
        assert!((1..100).contains(&survivors.count()));
    }

    #[test]
    fn a_rename_that_was_not_synced_leaves_the_old_file_or_the_new_one() {
        for seed in 0..50 {
            let mut image = Image::new();
            for (name, bytes) in [("key", b"old"), ("key.new", b"new")] {
                let file = image.make(ROOT, name, 0o600, false).unwrap().number;
                image.write(file, 0, bytes).unwrap();
                image.sync(file).unwrap();
            }
            image.sync(ROOT).unwrap();
            image.rename(ROOT, "key.new", ROOT, "key").unwrap();
            cut(&mut image, seed);
            assert!(matches!(content(&image, "key").as_deref(), Some(b"old" | b"new")));
        }
    }

    #[test]
    fn after_a_failed_sync_a_later_one_does_not_bring_the_writes_back() {
        let mut image = Image::new();
        let file = image.make(ROOT, "log", 0o600, false).unwrap().number;
        image.sync(ROOT).unwrap();
        image.fail_sync_of = Some("log".to_owned());
        image.write(file, 0, b"gone").unwrap();
        assert_eq!(image.sync(file), Err(Refusal::Failed));
        image.write(file, 4, b"kept").unwrap();
        image.sync(file).unwrap();
        assert_eq!(content(&image, "log").unwrap(), b"gonekept", "programs still see it");
        cut(&mut image, 1);
        assert_eq!(content(&image, "log").unwrap(), b"\0\0\0\0kept");
    }

    #[test]
    fn a_full_disk_takes_what_does_not_grow() {
        let mut image = Image::new();
        let file = image.make(ROOT, "log", 0o600, false).unwrap().number;
        image.capacity = Some(2 * BLOCK);
        image.write(file, 0, &[1; 8_192]).unwrap();
        assert_eq!(image.write(file, 8_192, b"more"), Err(Refusal::Full));
        image.write(file, 0, b"again").unwrap();
        image.set_size(file, 10).unwrap();
        image.write(file, 8_000, b"there is room again").unwrap();
        assert_eq!(image.refused, 1);
    }

    #[test]
    fn a_file_that_is_removed_or_replaced_gives_its_space_back() {
        let mut image = Image::new();
        let make = |image: &mut Image, name: &str| {
            let file = image.make(ROOT, name, 0o600, false).unwrap().number;
            image.write(file, 0, &[1; 8_192]).unwrap();
            image.sync(file).unwrap();
        };
        image.capacity = Some(2 * BLOCK);
        make(&mut image, "reserve");
        assert!(image.has("reserve"));
        image.remove(ROOT, "reserve").unwrap();
        assert_eq!((image.used(), image.has("reserve")), (0, false));
        image.capacity = Some(4 * BLOCK);
        make(&mut image, "key");
        make(&mut image, "key.new");
        image.rename(ROOT, "key.new", ROOT, "key").unwrap();
        assert_eq!(image.used(), 2 * BLOCK);
        assert_eq!(content(&image, "key").unwrap(), [1; 8_192]);
    }

    #[test]
    fn a_removal_that_was_not_synced_leaves_the_file_whole_or_none() {
        let survivors = (0..100).filter(|seed| {
            let mut image = Image::new();
            let file = image.make(ROOT, "log", 0o600, false).unwrap().number;
            image.write(file, 0, b"synced").unwrap();
            image.sync(file).unwrap();
            image.sync(ROOT).unwrap();
            image.remove(ROOT, "log").unwrap();
            cut(&mut image, *seed);
            let left = content(&image, "log");
            assert!(left.as_deref().is_none_or(|left| left == b"synced"), "{left:?}");
            left.is_some()
        });
        assert!((1..100).contains(&survivors.count()));
    }
}
