//! Settings: what a person chose, and what the program around the client keeps in the profile for itself.
//!
//! Owns the name space. Does not know what the values of programs mean.
//!
//! - Names of programs begin with `app.`, so that they never meet those of the client.

use crate::{
    client::Client,
    error::ProfileError,
    ports::{Change, Commit},
    preferences::Setting,
};

/// What the names of a program's settings begin with in the store.
pub const APP_SETTING_PREFIX: &str = "app.";

impl Client {
    /// Returns whether previews are made of the links that are sent (CON-50).
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn link_previews(&self) -> Result<bool, ProfileError> {
        Ok(self.setting(Setting::LinkPreviews)? == "on")
    }

    /// Returns a setting of the program's own, by its name without the prefix.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn app_setting(&self, name: &str) -> Result<Option<String>, ProfileError> {
        Ok(self.inner.state().store().setting(&app_name(name))?)
    }

    /// Replaces a setting of the program's own.
    ///
    /// # Errors
    /// [`ProfileError`]; the old value is kept.
    pub fn set_app_setting(&self, name: &str, value: &str) -> Result<(), ProfileError> {
        let change = Change::PutSetting { name: app_name(name), value: value.to_owned() };
        Ok(self.inner.state().commit(&Commit::new().with(change))?)
    }
}

fn app_name(name: &str) -> String {
    format!("{APP_SETTING_PREFIX}{name}")
}
