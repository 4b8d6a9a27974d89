//! What people call themselves.

use super::*;
use crate::{Image, Naming, SHARED_NAME_BYTES_MAX, SHARED_PHOTO_BYTES_MAX};

const PNG: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

fn of(naming: Naming) -> Content {
    alice_to_bob(Kind::Naming(naming))
}

/// CON-51: a name, a name with a photo, and neither.
#[test]
fn namings_arrive_as_they_were_sent() {
    let named = Naming::new("Alice ☃").unwrap();
    let with_photo = named.clone().with_photo(Image::new(PNG).unwrap()).unwrap();
    for naming in [named, with_photo, Naming::nothing()] {
        assert_eq!(decode(&encode(&of(naming.clone())).unwrap()), Ok(of(naming)));
    }
}

/// CON-51: exactly so much, and no more; a photo alone is nobody's.
#[test]
fn namings_are_bounded() {
    let with = |name: &str, photo: &[u8]| {
        let (name, photo) = (name.to_owned(), photo.to_vec().into());
        decode(&changed(&hello(), |wire| wire.kind = Some(wire::content::Kind::Naming(wire::Naming { name, photo }))))
    };
    let name = "x".repeat(SHARED_NAME_BYTES_MAX);
    let photo = [&PNG[..], &vec![0; SHARED_PHOTO_BYTES_MAX - PNG.len()]].concat();
    let full = Naming::new(name.clone()).unwrap().with_photo(Image::new(photo.clone()).unwrap()).unwrap();
    assert_eq!(with(&name, &photo), Ok(of(full)));
    assert_eq!(with(&format!("{name}x"), &[]), Err(DecodeError::Naming));
    assert_eq!(with("two\nlines", &[]), Err(DecodeError::Naming));
    assert_eq!(with("x", &[&photo[..], &[0]].concat()), Err(DecodeError::Naming));
    assert_eq!(with("", &photo), Err(DecodeError::Naming));
    // CON-46: what a later version draws is left out.
    assert_eq!(with("x", b"\0\0\0\x1cftypavif"), Ok(of(Naming::new("x").unwrap())));
    assert_eq!((Naming::new(""), Naming::new(format!("{name}x")), Naming::new("\u{7f}")), (None, None, None));
    let large = Image::new([&photo[..], &[0]].concat()).unwrap();
    assert_eq!(Naming::new("x").unwrap().with_photo(large), None);
    assert_eq!(Naming::nothing().with_photo(Image::new(PNG).unwrap()), None);
}

/// I9: no content in a log line.
#[test]
fn namings_are_redacted() {
    let printed = format!("{:?}", of(Naming::new("secret").unwrap().with_photo(Image::new(PNG).unwrap()).unwrap()));
    assert!(!printed.contains("secret") && !printed.contains("137"), "{printed}");
}

proptest! {
    /// CON-51: whatever is shared arrives as it was.
    #[test]
    fn all_namings_arrive(name in "[ -~ä-ü☃]{1,60}", photo in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100))) {
        let naming = Naming::new(name).unwrap();
        let photo = photo.and_then(|bytes| Image::new([&PNG[..], &bytes].concat()));
        let naming = photo.and_then(|photo| naming.clone().with_photo(photo)).unwrap_or(naming);
        prop_assert_eq!(decode(&encode(&of(naming.clone())).unwrap()), Ok(of(naming)));
    }
}
