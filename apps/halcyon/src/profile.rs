//! Where profiles lie: one folder an account and device, named by the person.
//!
//! Owns the names and the folders. Does not know what is inside one: that is the store's.
//!
//! - A folder that is made here is readable by its owner alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use directories::ProjectDirs;

use crate::failure::Failure;

/// A name with more bytes is a typing accident, and some file systems refuse it.
const NAME_BYTES_MAX: usize = 64;

/// The name of a profile: a plain file name, so that it cannot lead out of the folder of profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileName(String);

impl ProfileName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no name for a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a profile's name has 1 to {NAME_BYTES_MAX} of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, and does not begin with a dot"
)]
pub struct ProfileNameError;

impl FromStr for ProfileName {
    type Err = ProfileNameError;

    fn from_str(text: &str) -> Result<Self, ProfileNameError> {
        let characters_fit = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && characters_fit && !text.starts_with('.');
        if fits { Ok(Self(text.to_owned())) } else { Err(ProfileNameError) }
    }
}

/// Returns the folder of a profile: the one that was given, or the named one below the user's data folder
/// (`$XDG_DATA_HOME/halcyon/profiles/NAME`).
///
/// # Errors
/// [`Failure`] if neither `$XDG_DATA_HOME` nor `$HOME` says where data belongs.
pub fn folder(given: Option<&Path>, name: &ProfileName) -> Result<PathBuf, Failure> {
    if let Some(folder) = given {
        return Ok(folder.to_owned());
    }
    let dirs = ProjectDirs::from("", "", "halcyon").ok_or_else(|| {
        Failure::user("neither $XDG_DATA_HOME nor $HOME says where profiles belong")
            .next("set one of them, or give --profile-folder PATH")
    })?;
    Ok(dirs.data_dir().join("profiles").join(name.as_str()))
}

/// Makes the folder of a profile, for its owner alone, with the folders above it. A folder that is there stays as it is.
///
/// # Errors
/// [`Failure`] that names the folder.
pub fn make_folder(folder: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| {
        Failure::network(format!("the profile folder {} cannot be made: {error}", folder.display()))
            .next("make room, change its permissions, or choose another with --profile-folder PATH")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name cannot lead out of the folder of profiles.
    #[test]
    fn names_are_plain_file_names() {
        for name in ["default", "work-2", "a.b_c"] {
            assert_eq!(name.parse::<ProfileName>().unwrap().as_str(), name);
        }
        for name in ["", "..", ".hidden", "a/b", "a\\b", "ä", "a b", &"x".repeat(65)] {
            assert_eq!(name.parse::<ProfileName>(), Err(ProfileNameError), "{name}");
        }
    }

    #[test]
    fn a_given_folder_is_taken_as_it_is() {
        let name = "default".parse().unwrap();
        assert_eq!(folder(Some(Path::new("/some/where")), &name).unwrap(), Path::new("/some/where"));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_folder_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("profiles").join("default");
        make_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        let failure = make_folder(&file.join("below")).unwrap_err();
        assert!(failure.what.contains("below"), "{failure}");
        assert_eq!(failure.kind.exit_code(), 3);
    }
}
