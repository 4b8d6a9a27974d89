//! The own devices: list, rename this one, remove another. Spec: 11-directory.md §1 (DIR-4 to DIR-8).
//!
//! Owns the retry when another device changed the list at the same time. Does not verify lists: the resolver does, the own account's
//! as anybody's.

use halcyon_directory::{DeviceEntry, SignedList, list::NextList, resolver};
use halcyon_types::{DeviceId, SuiteId, Timestamp};

use crate::{
    alerts,
    api::{AccountAnswer, Request},
    client::{Client, Inner},
    error::{ApiError, DevicesError, ProfileError},
    event::{Event, Notice},
    outbox::alone,
    ports::{Change, Commit},
};

/// One of the own devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDevice {
    /// The device.
    pub device: DeviceId,
    /// What it is called.
    pub name: String,
    /// Suites that it speaks.
    pub suites: Vec<SuiteId>,
    /// When it was added, by its own clock.
    pub added: Timestamp,
    /// Whether it is this one.
    pub this: bool,
}

/// An answer about the own account.
pub(crate) struct OwnAnswer {
    pub(crate) answer: AccountAnswer,
    /// The number of the newest message when it was asked for.
    newest: u64,
}

/// Times that a change is applied anew because another device was faster. People change lists by hand, so one is the usual.
pub(crate) const LIST_TRIES_MAX: usize = 5;

impl Client {
    /// Returns the own devices, from the server's newest list.
    ///
    /// # Errors
    /// [`DevicesError`]
    pub async fn devices(&self) -> Result<Vec<OwnDevice>, DevicesError> {
        let (list, this) = self.inner.current_list().await?;
        Ok(list.devices().iter().map(|device| own_device(device.entry(), Some(this))).collect())
    }

    /// Calls this device differently.
    ///
    /// # Errors
    /// [`DevicesError`]
    pub async fn rename_device(&self, name: &str) -> Result<(), DevicesError> {
        let inner = &*self.inner;
        inner
            .change_list(|list, this| {
                let entry = list.device(this).ok_or(DevicesError::NoSuchDevice)?.entry();
                let renamed = entry.renamed(name).map_err(DevicesError::Name)?;
                let state = inner.state();
                let own = state.own()?;
                let signed = halcyon_directory::CountersignedEntry::sign(renamed, own.account, &own.keys.device);
                Ok(list.next().with(signed.map_err(DevicesError::Name)?))
            })
            .await
    }

    /// Removes another device of this account (DIR-5).
    ///
    /// # Errors
    /// [`DevicesError`]
    pub async fn remove_device(&self, device: DeviceId) -> Result<(), DevicesError> {
        self.inner
            .change_list(|list, this| {
                if device == this {
                    return Err(DevicesError::ThisDevice);
                }
                list.device(device).ok_or(DevicesError::NoSuchDevice)?;
                Ok(list.next().without(device))
            })
            .await
    }
}

impl Inner {
    /// Applies a change to the newest list and publishes it; when another device was faster, looks at its list and applies the change
    /// again (DIR-4).
    pub(crate) async fn change_list(
        &self,
        change: impl Fn(&SignedList, DeviceId) -> Result<NextList, DevicesError>,
    ) -> Result<(), DevicesError> {
        for _ in 0..LIST_TRIES_MAX {
            let (current, this) = self.current_list().await?;
            let next = change(&current, this)?;
            let list = {
                let state = self.state();
                next.sign(&state.own()?.account_key, self.now()).map_err(DevicesError::List)?
            };
            let request = Request::device_list(&list);
            match self.call_signed(request, |request| self.api.call(request)).await? {
                Ok(_) => return Ok(self.accept_own_list(list)?.map(drop)?),
                Err(error) if error.code() == Some("list_conflict") => {}
                Err(error) => return Err(DevicesError::Api(error)),
            }
        }
        Err(DevicesError::Conflict)
    }

    /// Asks for the own account, and accepts its list as the resolver does (DIR-6).
    pub(crate) async fn current_list(&self) -> Result<(SignedList, DeviceId), DevicesError> {
        let answer = self.fetch_own().await?;
        self.accept_answer(answer)
    }

    /// Asks for the own account, and again if another change of this device was accepted while the answer was on its way: an older
    /// list in it is no lie.
    pub(crate) async fn fetch_own(&self) -> Result<OwnAnswer, DevicesError> {
        for _ in 1..LIST_TRIES_MAX {
            let known = self.own_list_version()?;
            let own = self.fetch_own_once().await?;
            if self.own_list_version()? == known {
                return Ok(own);
            }
        }
        self.fetch_own_once().await
    }

    async fn fetch_own_once(&self) -> Result<OwnAnswer, DevicesError> {
        let newest = self.state().store().newest_number().map_err(ProfileError::from)?;
        Ok(OwnAnswer { answer: self.fetch_account().await?, newest })
    }

    fn own_list_version(&self) -> Result<u64, DevicesError> {
        let mut state = self.state();
        let account = state.own()?.account;
        Ok(state.known(account)?.map_or(0, |known| known.version()))
    }

    /// Accepts the list of an answer about the own account. One that is not believed raises an alarm.
    pub(crate) fn accept_answer(&self, own: OwnAnswer) -> Result<(SignedList, DeviceId), DevicesError> {
        let decoded = SignedList::decode(own.answer.device_list.into()).map_err(resolver::Refusal::from);
        let accepted = match decoded {
            Ok(list) => self.accept_own_list(list)?,
            Err(refusal) => Err(refusal),
        };
        match accepted {
            Ok(list) => {
                let mut state = self.state();
                let mut commit = Commit::new();
                alone::confirm(&state, own.newest, &mut commit)?; // SND-7
                state.commit(&commit).map_err(ProfileError::from)?;
                Ok((list, state.own()?.device))
            }
            Err(refusal) => self.refuse_own_list(refusal),
        }
    }

    pub(crate) async fn fetch_account(&self) -> Result<AccountAnswer, DevicesError> {
        self.state().own()?;
        let answer = self.call_signed(Request::account(), |request| self.api.account(request)).await?;
        let answer = answer.map_err(DevicesError::Api)?;
        if answer.account != self.state().own()?.account {
            return Err(DevicesError::Api(ApiError::Malformed("this account")));
        }
        Ok(answer)
    }

    /// Returns the own list as it was accepted last, and this device.
    pub(crate) fn own_list(&self) -> Result<(SignedList, DeviceId), ProfileError> {
        let mut state = self.state();
        let (account, device) = (state.own()?.account, state.own()?.device);
        let known = state.known(account)?.ok_or(ProfileError::Damaged("the own device list"))?;
        Ok((known.list().clone(), device))
    }

    /// Accepts a list of the own account and commits it.
    pub(crate) fn accept_own_list(
        &self,
        list: SignedList,
    ) -> Result<Result<SignedList, resolver::Refusal>, ProfileError> {
        let mut state = self.state();
        let account = state.own()?.account;
        let kept = state.known(account)?;
        let (known, changes) = match resolver::accept_list(kept.as_ref(), list.clone(), self.now()) {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if changes.is_empty() {
            return Ok(Ok(list));
        }
        // The addresses of the new devices are not known yet.
        let mut commit = Commit::new().with(Change::RemoveAddresses(account));
        if let Some(kept) = &kept {
            alone::serve_new(self, &mut state, kept.list(), &list, &mut commit)?; // SND-7
        }
        state.commit_known(known, commit)?;
        let handle = state.store().own_handles()?.into_iter().next();
        drop(state);
        self.outbox.notify_one(); // What a new device gets waits there.
        if let Some(handle) = handle {
            self.tell(Event::DevicesChanged { handle, changes });
        }
        Ok(Ok(list))
    }

    fn refuse_own_list<T>(&self, refusal: resolver::Refusal) -> Result<T, DevicesError> {
        // The lock is let go before the alarm, which takes it.
        let handle = self.state().store().own_handles()?.into_iter().next();
        if let Some(handle) = handle {
            alerts::raise(self, Notice::Refused { handle, reason: refusal.to_string() })?;
        }
        Err(refusal.into())
    }
}

pub(crate) fn own_device(entry: &DeviceEntry, this: Option<DeviceId>) -> OwnDevice {
    OwnDevice {
        device: entry.id(),
        name: entry.name().to_owned(),
        suites: entry.suites().to_vec(),
        added: entry.added(),
        this: this == Some(entry.id()),
    }
}
