//! Stanzas out of an XMPP stream, as far as a client needs to look into its own servers': where one ends, its name, an
//! attribute, the text of a child. Not for the XML of strangers.

use anyhow::{Context, Result};
use bytes::BytesMut;

/// An element at the top of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stanza {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Stanza {
    /// Returns an attribute of the element itself, as written.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let tag = &self.text[..tag_end(self.text.as_bytes())?];
        tag.match_indices(name).find_map(|(at, _)| {
            let rest = tag[at + name.len()..].strip_prefix('=')?;
            let is_whole_name = tag[..at].ends_with([' ', '\n', '\t']);
            let quote = rest.chars().next().filter(|quote| is_whole_name && ['\'', '"'].contains(quote))?;
            rest[1..].split(quote).next()
        })
    }

    /// Returns the text of the first element of this name within, which has none inside.
    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        let (_, after) = self.text.split_once(&format!("<{name}"))?;
        after.split_once('>')?.1.split('<').next()
    }
}

/// Takes the next whole stanza, if it is there. Begin and end of the stream, and what is between stanzas, are skipped.
pub(crate) fn take(input: &mut BytesMut) -> Result<Option<Stanza>> {
    let (mut at, mut depth, mut begin) = (0, 0_u32, 0);
    loop {
        let Some(open) = input[at..].iter().position(|byte| *byte == b'<') else { return Ok(None) };
        let open = at + open;
        let Some(end) = tag_end(&input[open..]) else { return Ok(None) };
        let tag = &input[open..open + end];
        at = open + end;
        let is_of_stream =
            tag.starts_with(b"<?") || tag.starts_with(b"<stream:stream") || tag.starts_with(b"</stream:stream");
        if is_of_stream {
            continue;
        }
        if depth == 0 {
            begin = open;
        }
        if tag.starts_with(b"</") {
            depth = depth.checked_sub(1).context("an end of nothing in a stream")?;
        } else if !tag.ends_with(b"/>") {
            depth += 1;
        }
        if depth == 0 {
            let whole = input.split_to(at);
            let text = String::from_utf8(whole[begin..].to_vec())?;
            let name = text[1..].split([' ', '>', '/', '\n', '\t']).next().unwrap_or_default().to_owned();
            return Ok(Some(Stanza { name, text }));
        }
    }
}

/// Returns where the tag at the front ends; a > in an attribute is not its end.
fn tag_end(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (index, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(index + 1),
            (None, b'\'' | b'"') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stanzas are taken whole however they come, and the stream around them is skipped.
    #[test]
    fn stanzas_come_whole() {
        let text = "<?xml version='1.0'?><stream:stream id='1' xmlns='jabber:client'><stream:features><a/><b>x</b></stream:features>\n<message from='a>b' type=\"chat\"><body>hello</body><stanza-id id='7'/></message><a h='12' xmlns='urn:xmpp:sm:3'/>";
        let mut input = BytesMut::new();
        let mut stanzas = Vec::new();
        for byte in text.bytes() {
            input.extend_from_slice(&[byte]);
            stanzas.extend(take(&mut input).unwrap());
        }
        let names: Vec<&str> = stanzas.iter().map(|stanza| stanza.name.as_str()).collect();
        assert_eq!(names, ["stream:features", "message", "a"]);
        assert_eq!(stanzas[1].attribute("from"), Some("a>b"));
        assert_eq!(stanzas[1].attribute("type"), Some("chat"));
        assert_eq!(stanzas[1].attribute("id"), None);
        assert_eq!(stanzas[1].child_text("body"), Some("hello"));
        assert_eq!(stanzas[2].attribute("h"), Some("12"));
        assert!(input.is_empty());
        take(&mut BytesMut::from("</message>")).unwrap_err();
    }
}
