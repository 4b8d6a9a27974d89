//! What somebody wants to be called, and their photo, told to chosen people. Spec: 50-content.md (CON-51, CON-52).
//!
//! Owns the shape and its bounds. Does not know what the receiver calls them, which is nobody else's affair.

use std::fmt;

use crate::{decode::DecodeError, image::Image, line, model::Kind, wire};

/// Bytes of what somebody calls themself (CON-51).
pub const SHARED_NAME_BYTES_MAX: usize = 128;
/// Bytes of a photo that somebody shares (CON-51).
pub const SHARED_PHOTO_BYTES_MAX: usize = 8 * 1024;

/// What somebody calls themself (CON-51). Without name and photo: they do not share them any more.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Naming {
    name: String,
    photo: Option<Image>,
}

impl Naming {
    /// Returns the naming that takes back those before it.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Returns a naming with a name: one line of 1 to [`SHARED_NAME_BYTES_MAX`] bytes; none for any other.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        line::fits(&name, SHARED_NAME_BYTES_MAX).then_some(Self { name, photo: None })
    }

    /// Returns the naming with a photo of at most [`SHARED_PHOTO_BYTES_MAX`] bytes; none for a larger one, or without a name.
    #[must_use]
    pub fn with_photo(self, photo: Image) -> Option<Self> {
        let fits = !self.name.is_empty() && photo.as_bytes().len() <= SHARED_PHOTO_BYTES_MAX;
        fits.then_some(Self { photo: Some(photo), ..self })
    }

    /// Returns the name: see [`crate::for_display`] before it is printed. None takes back what was shared.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        (!self.name.is_empty()).then_some(&self.name)
    }

    /// Returns the photo.
    #[must_use]
    pub fn photo(&self) -> Option<&Image> {
        self.photo.as_ref()
    }
}

/// A name is content (I9).
impl fmt::Debug for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Naming({} bytes, redacted)", self.name.len())
    }
}

pub(crate) fn decode(wire: wire::Naming) -> Result<Kind, DecodeError> {
    let nameless = wire.name.is_empty();
    // CON-51: a photo alone is nobody's.
    if wire.photo.len() > SHARED_PHOTO_BYTES_MAX || (nameless && !wire.photo.is_empty()) {
        return Err(DecodeError::Naming);
    }
    if nameless {
        return Ok(Kind::Naming(Naming::nothing()));
    }
    let naming = Naming::new(wire.name).ok_or(DecodeError::Naming)?;
    // CON-46: a photo of a kind that is not known here is left out.
    Ok(Kind::Naming(Naming { photo: Image::new(wire.photo), ..naming }))
}

pub(crate) fn encode(naming: &Naming) -> wire::Naming {
    let photo = naming.photo.as_ref().map(|photo| photo.as_bytes().to_vec()).unwrap_or_default();
    wire::Naming { name: naming.name.clone(), photo: photo.into() }
}
