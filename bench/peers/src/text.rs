//! Messages of peers that carry text: as long as the payload, with its time in hex at the front.

use crate::load::Stamp;

/// Returns a text as long as a payload, if that is not shorter than the time takes in hex.
pub(crate) fn text_of(payload: &[u8]) -> String {
    let mut text = String::with_capacity(payload.len());
    for byte in payload.iter().take(size_of::<Stamp>()) {
        text.push_str(&format!("{byte:02x}"));
    }
    text.extend(std::iter::repeat_n('m', payload.len().saturating_sub(text.len())));
    text
}

/// Returns the time in a text of [`text_of`]; others have none.
pub(crate) fn stamp_of(text: &str) -> Option<Stamp> {
    let hex = text.get(..2 * size_of::<Stamp>())?;
    u64::from_str_radix(hex, 16).ok().map(u64::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text is as long as its payload, and the time survives.
    #[test]
    fn the_time_survives() {
        let payload = [&[0, 1, 2, 0xff, 4, 5, 6, 0x80][..], &[7; 1_016]].concat();
        let text = text_of(&payload);
        assert_eq!(text.len(), payload.len());
        assert_eq!(stamp_of(&text).unwrap(), payload[..8]);
        assert_eq!(stamp_of("hello"), None);
        assert_eq!(stamp_of("hello, and a long good night"), None);
    }
}
