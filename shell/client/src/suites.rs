//! Suites of this device, and how well a conversation is protected. Spec: 42-padding-and-suites.md §2 (SUI-9), 43-pq3.md.
//!
//! Owns the order of switching a suite on or off. Does not choose suites: fan-out does, by the same rule as is shown here.
//!
//! - What is switched off is out of the device list before it stops opening, so nobody is told to use what is refused.

use halcyon_suites::{Suite, choice};
use halcyon_types::{DeviceId, Handle, Timestamp};

use crate::{
    client::Client,
    error::{DevicesError, ProfileError},
    register::countersigned,
};

/// Whether a suite is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuiteUse {
    /// It is advertised and used.
    On,
    /// It is neither.
    Off,
}

/// How well messages to one device of a person are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSecurity {
    /// The device.
    pub device: DeviceId,
    /// What it is called.
    pub name: String,
    /// The suite that the next message uses; none if nothing may be sealed for it, which sending explains.
    pub suite: Option<Suite>,
    /// When an elliptic-curve key was last exchanged, in `pq3`; none before the first message.
    pub ratcheted: Option<Timestamp>,
    /// When an ML-KEM key was last exchanged, in `pq3`; none before the first answer.
    pub rekeyed: Option<Timestamp>,
}

/// How well a conversation with a person is protected, as far as this device knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// When this was looked at, by this device's clock.
    pub at: Timestamp,
    /// The version of the device list that was accepted last.
    pub list_version: u64,
    /// Every device of that list but this one.
    pub devices: Vec<DeviceSecurity>,
}

impl Client {
    /// Returns which suites this device uses, weakest first.
    #[must_use]
    pub fn suites(&self) -> Vec<(Suite, SuiteUse)> {
        let used = self.inner.state().suites();
        let state = |suite| (suite, if used.contains(&suite) { SuiteUse::On } else { SuiteUse::Off });
        Suite::SPOKEN.into_iter().map(state).collect()
    }

    /// Switches a suite on or off: for new messages at once, and in the device list that others see (SUI-9).
    ///
    /// # Errors
    /// [`DevicesError`]; nothing was changed, or, if the profile cannot be written, only the list was.
    pub async fn switch_suite(&self, suite: Suite, usage: SuiteUse) -> Result<(), DevicesError> {
        let inner = &*self.inner;
        let (mut used, spoken) = {
            let state = inner.state();
            (state.suites(), state.any_own().map(|own| own.keys.suites()))
        };
        used.retain(|other| *other != suite);
        if usage == SuiteUse::On {
            used.push(suite);
        }
        if !spoken.clone().unwrap_or(Suite::SPOKEN.to_vec()).iter().any(|spoken| used.contains(spoken)) {
            return Err(DevicesError::LastSuite);
        }
        // Before registration there is no list; the first one is made by the setting.
        if spoken.is_some() && inner.state().own().is_ok() {
            inner
                .change_list(|list, this| {
                    let entry = list.device(this).ok_or(DevicesError::NoSuchDevice)?.entry();
                    let state = inner.state();
                    let own = state.own()?;
                    let signed = countersigned(&own.keys, &used, own.account, entry.name(), entry.added());
                    Ok(list.next().with(signed.map_err(DevicesError::Name)?))
                })
                .await?;
        }
        let off = Suite::SPOKEN.into_iter().filter(|suite| !used.contains(suite)).collect();
        Ok(inner.state().commit_suites_off(off).map_err(ProfileError::from)?)
    }

    /// Returns how well messages to a person are protected; none if nothing was accepted of that person yet.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn security(&self, handle: &Handle) -> Result<Option<Security>, ProfileError> {
        let mut state = self.inner.state();
        let Some(kept) = state.kept(handle)? else { return Ok(None) };
        let own = state.own()?;
        let (this, mut used) = (own.device, own.keys.suites());
        used.retain(|suite| state.suites().contains(suite));
        let mut devices = Vec::new();
        for entry in kept.known.list().devices().iter().map(|device| device.entry()).filter(|entry| entry.id() != this)
        {
            let seen = kept.known.strongest_seen(entry.id()).and_then(|id| Suite::try_from(id).ok());
            let suite = choice::choose(&used, entry.suites(), seen).ok().map(|chosen| chosen.suite());
            let security = state.session(entry.id(), self.inner.now())?.security();
            devices.push(DeviceSecurity {
                device: entry.id(),
                name: entry.name().to_owned(),
                suite,
                ratcheted: security.map(|security| security.ratcheted),
                rekeyed: security.and_then(|security| security.rekeyed),
            });
        }
        Ok(Some(Security { at: self.inner.now(), list_version: kept.known.version(), devices }))
    }
}
