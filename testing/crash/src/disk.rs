//! A disk that forgets what was not synced: a file system of our own, mounted with FUSE, below the real programs.
//!
//! Owns the mount. What lies on it, and what a power cut leaves of that, is [`image`]'s to say; [`mount`] translates for the kernel.
//!
//! - A power cut ends every operation that comes after it with an error, until the disk is mounted anew.

pub mod image;
mod mount;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use fuser::{BackgroundSession, Config, MountOption};

use image::{Image, Loss};
use mount::unmount;

/// How often unmounting is tried while the kernel still knows somebody who uses the disk.
const UNMOUNT_TRIES: usize = 50;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(40);

/// A disk that is mounted.
pub struct Disk {
    path: PathBuf,
    image: Arc<Mutex<Image>>,
    session: Option<BackgroundSession>,
}

impl Disk {
    /// Mounts an empty disk at a folder that is there.
    ///
    /// # Errors
    /// The machine has no FUSE, or does not let this user mount.
    pub fn mount(path: &Path) -> anyhow::Result<Self> {
        let mut disk = Self { path: path.to_owned(), image: Arc::new(Mutex::new(Image::new())), session: None };
        disk.attach()?;
        Ok(disk)
    }

    /// Returns where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what lies on it, to be looked at or broken.
    pub fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power: from now on nothing is written or read. To be followed by [`restore`](Self::restore).
    pub fn cut_power(&self) {
        self.image().off = true;
    }

    /// Gives the power back, with what survived on the disk. Whoever used it must be gone.
    ///
    /// # Errors
    /// Somebody still uses it.
    pub fn restore(&mut self) -> anyhow::Result<Loss> {
        self.detach()?;
        let loss = self.image().restart(&mut rand::thread_rng());
        self.attach()?;
        Ok(loss)
    }

    fn attach(&mut self) -> anyhow::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("halcyon-crash".to_owned()), MountOption::DefaultPermissions];
        let files = mount::Files::new(self.image.clone(), &self.path)?;
        let session = fuser::spawn_mount(files, &self.path, &config);
        self.session = Some(session.context("mounting with FUSE: /dev/fuse and the package fuse3 are needed")?);
        Ok(())
    }

    fn detach(&mut self) -> anyhow::Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        // A process that was killed is let go of a moment later.
        for _ in 0..UNMOUNT_TRIES {
            if unmount(&self.path)? {
                return session.join().context("unmounting");
            }
            std::thread::sleep(UNMOUNT_PAUSE);
        }
        // Its thread lives as long as the mount does: to wait for it would be to wait for whoever still uses the disk.
        drop(session);
        anyhow::bail!("somebody still uses it")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.detach() {
            crate::say(&format!("a disk stays mounted at {}: {error:#}", self.path.display()));
        }
    }
}
