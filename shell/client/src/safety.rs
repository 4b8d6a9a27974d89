//! Who compared a safety code with whom. Spec: 52-own-devices.md (OWN-31), 11-directory.md §7.
//!
//! Owns the mark that a person gives a handle, on all own devices, and when it counts no more. Does not decide which account a handle
//! stands for: the resolver does, and alarms by itself when that changes (DIR-7).

use halcyon_content::OwnKey;
use halcyon_directory::safety::SafetyCode;
use halcyon_types::{AccountId, Handle};

use crate::{
    client::Client,
    error::{ChooseError, ProfileError},
    state::State,
};

/// What two people have to compare, and whether they did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safety {
    /// The account that the handle stands for.
    pub account: AccountId,
    /// The code of this account and that one (DIR-60).
    pub code: SafetyCode,
    /// Whether it was compared.
    pub mark: SafetyMark,
}

/// What a person knows of who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SafetyMark {
    /// Nothing: no code was compared.
    None,
    /// The code was compared, and is the same still.
    Compared,
    /// A code was compared, and the handle stands for another account since.
    Changed,
}

impl Client {
    /// Returns what is to be compared with somebody; none if it is not known here whom the handle stands for: look it up first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn safety(&self, handle: &Handle) -> Result<Option<Safety>, ProfileError> {
        let state = self.inner.state();
        let Some(pin) = state.known_handle(handle)? else { return Ok(None) };
        let (own, account) = (state.own()?.account, pin.account());
        let mark = state.safety_mark(handle, account)?;
        Ok(Some(Safety { account, code: SafetyCode::of(own, account), mark }))
    }

    /// Notes, on all own devices, that the code was compared with somebody and is the same; or that it no longer counts as that.
    ///
    /// # Errors
    /// [`ChooseError::Value`] if it is not known here whom the handle stands for.
    pub fn set_compared(&self, handle: &Handle, is_compared: bool) -> Result<(), ChooseError> {
        let account = self.inner.state().known_handle(handle)?.map(|pin| pin.account());
        let value = match (is_compared, account) {
            (false, _) => String::new(),
            (true, Some(account)) => account.to_hex(),
            (true, None) => return Err(ChooseError::Value("somebody who was looked up".to_owned())),
        };
        let handles = match is_compared {
            true => vec![handle.clone()],
            // Under whatever handle it was.
            false => self.inner.state().handles_of_same(handle)?,
        };
        self.choose(handles.into_iter().map(|handle| (OwnKey::Compared(handle), value.clone())))
    }
}

impl State {
    /// OWN-31: by this handle, or another one of the same account.
    fn safety_mark(&self, handle: &Handle, account: AccountId) -> Result<SafetyMark, ProfileError> {
        let compared = |handle: &Handle| -> Result<Option<AccountId>, ProfileError> {
            let value = self.chosen(&OwnKey::Compared(handle.clone()))?;
            Ok(value.and_then(|value| value.as_str().parse().ok()))
        };
        if compared(handle)?.is_some_and(|compared| compared != account) {
            return Ok(SafetyMark::Changed);
        }
        for same in self.handles_of_same(handle)? {
            if compared(&same)? == Some(account) {
                return Ok(SafetyMark::Compared);
            }
        }
        Ok(SafetyMark::None)
    }
}
