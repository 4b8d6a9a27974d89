//! What a page of the web says of itself: title, summary, image. Spec: 50-content.md (CON-50).
//!
//! Owns a reading of HTML that is just enough for the head of a page, whatever it is. Does not know where pages come from.
//!
//! - Never panics, and looks at each byte a bounded number of times, whatever a page has in it.
//! - What it returns is one line, without control and direction characters, within the bounds of a [`Link`](crate::Link).

use std::borrow::Cow;

use crate::{LINK_SUMMARY_BYTES_MAX, LINK_TITLE_BYTES_MAX, URL_BYTES_MAX};

/// What a page says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `og:title`, or else what stands in `<title>`.
    pub title: Option<String>,
    /// `og:description`, or else the description for search engines.
    pub summary: Option<String>,
    /// The address of `og:image`, as it stands there: it may be relative.
    pub image: Option<String>,
}

/// Elements whose content is no HTML.
const RAW: [&str; 5] = ["script", "style", "noscript", "template", "svg"];
/// Attributes of an element that are looked at.
const ATTRIBUTES_MAX: usize = 32;
/// Bytes of an entity, between `&` and `;`.
const ENTITY_BYTES_MAX: usize = 12;

impl Page {
    /// Reads the head of a page.
    #[must_use]
    pub fn read(html: &[u8]) -> Self {
        let html = text_of(html);
        let mut reader = Reader { html: &html, lower: html.to_ascii_lowercase(), at: 0 };
        let mut found = Found::default();
        while let Some(tag) = reader.next_tag() {
            match tag.name.as_str() {
                "title" if found.title.is_none() => found.title = reader.until_end_of("title"),
                "meta" => found.take_meta(&tag),
                "body" => break,
                raw if RAW.contains(&raw) => drop(reader.until_end_of(raw)),
                _ => {}
            }
        }
        found.page()
    }
}

/// UTF-8, but for what the end cuts; any other page is taken for Latin-1, in which every byte is a character.
fn text_of(html: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(html) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(&html[..error.valid_up_to()]),
        Err(_) => Cow::Owned(html.iter().map(|byte| char::from(*byte)).collect()),
    }
}

struct Reader<'a> {
    html: &'a str,
    /// The same with small letters, in which every byte is at the same place.
    lower: String,
    at: usize,
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Reader<'_> {
    /// Returns the next opening tag; comments, closing tags and the like are passed over.
    fn next_tag(&mut self) -> Option<Tag> {
        loop {
            self.at += self.html.get(self.at..)?.find('<')? + 1;
            let rest = self.html.get(self.at..)?;
            if rest.starts_with("!--") {
                self.at += rest.find("-->")?;
                continue;
            }
            if rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
                let name = self.word();
                return Some(Tag { name, attributes: self.attributes() });
            }
        }
    }

    /// Returns what stands before the end of an element, in small or capital letters; all of the rest if it does not end.
    fn until_end_of(&mut self, name: &str) -> Option<String> {
        let rest = self.lower.get(self.at..)?;
        let length = rest.find(&format!("</{name}")).unwrap_or(rest.len());
        let inner = self.html.get(self.at..self.at + length)?.to_owned();
        self.at += length;
        Some(inner)
    }

    /// Returns the name that begins here, in small letters.
    fn word(&mut self) -> String {
        let rest = self.lower.get(self.at..).unwrap_or_default();
        let end = rest.find(|one: char| one.is_ascii_whitespace() || "=/>\"'<".contains(one)).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        word
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        let rest = self.html.get(self.at..).unwrap_or_default();
        self.at += rest.find(|one| !what(one)).unwrap_or(rest.len());
    }

    fn attributes(&mut self) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        loop {
            self.skip(|one| one.is_ascii_whitespace() || "/\"'=".contains(one));
            let name = self.word();
            if name.is_empty() {
                let closes = self.html.get(self.at..).is_some_and(|rest| rest.starts_with('>'));
                self.at += usize::from(closes); // or another element begins, or this is the end
                return attributes;
            }
            self.skip(|one| one.is_ascii_whitespace());
            let mut value = String::new();
            if self.html.get(self.at..).is_some_and(|rest| rest.starts_with('=')) {
                self.at += 1;
                self.skip(|one| one.is_ascii_whitespace());
                value = self.value();
            }
            if attributes.len() < ATTRIBUTES_MAX {
                attributes.push((name, value));
            }
        }
    }

    fn value(&mut self) -> String {
        let rest = self.html.get(self.at..).unwrap_or_default();
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let (from, end, behind) = match quote {
            Some(quote) => match rest[1..].find(quote) {
                Some(length) => (1, 1 + length, 2 + length),
                None => (1, rest.len(), rest.len()),
            },
            None => {
                let end = rest.find(|one: char| one.is_ascii_whitespace() || one == '>').unwrap_or(rest.len());
                (0, end, end)
            }
        };
        self.at += behind;
        rest[from..end].to_owned()
    }
}

/// What was found, each in the order of who says it better.
#[derive(Default)]
struct Found {
    title: Option<String>,
    titles: [Option<String>; 2],
    summaries: [Option<String>; 3],
    images: [Option<String>; 3],
}

impl Found {
    fn take_meta(&mut self, tag: &Tag) {
        let value = |name: &str| tag.attributes.iter().find(|(named, _)| named == name).map(|(_, value)| value);
        let (Some(named), Some(content)) = (value("property").or_else(|| value("name")), value("content")) else {
            return;
        };
        let place = match named.trim().to_ascii_lowercase().as_str() {
            "og:title" => &mut self.titles[0],
            "twitter:title" => &mut self.titles[1],
            "og:description" => &mut self.summaries[0],
            "description" => &mut self.summaries[1],
            "twitter:description" => &mut self.summaries[2],
            "og:image" => &mut self.images[0],
            "og:image:url" => &mut self.images[1],
            "twitter:image" => &mut self.images[2],
            _ => return,
        };
        if place.is_none() && !content.trim().is_empty() {
            *place = Some(content.clone());
        }
    }

    fn page(self) -> Page {
        let first = |found: &[Option<String>], bytes_max| {
            found.iter().flatten().map(|text| one_line(text, bytes_max)).find(|text| !text.is_empty())
        };
        let [og, twitter] = self.titles;
        let image = self.images.into_iter().flatten().map(|text| meant(&text).trim().to_owned()).next();
        Page {
            title: first(&[og, twitter, self.title], LINK_TITLE_BYTES_MAX),
            summary: first(&self.summaries, LINK_SUMMARY_BYTES_MAX),
            image: image.filter(|address| address.len() <= URL_BYTES_MAX),
        }
    }
}

/// Returns a text as one line of so many bytes, with what it leaves out at its end.
fn one_line(text: &str, bytes_max: usize) -> String {
    const MORE: char = '…';
    // An entity has more bytes than what it stands for; what lies far behind the bound is not looked at.
    let head = text.char_indices().take_while(|(at, _)| *at < 16 * bytes_max).map(|(_, one)| one).collect::<String>();
    let meant = meant(&head);
    let is_left_out =
        |one: char| matches!(one, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let spaced: String = meant
        .chars()
        .filter(|one| !is_left_out(*one))
        .map(|one| if one.is_control() || one.is_whitespace() { ' ' } else { one })
        .collect();
    let mut line = spaced.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.len() > bytes_max {
        let mut end = bytes_max - MORE.len_utf8();
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.truncate(line.trim_end().len());
        line.push(MORE);
    }
    line
}

/// Returns a text with characters in place of their entities; what is no entity stays as it is.
fn meant(text: &str) -> String {
    let mut meant = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        meant.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let length = rest.bytes().take(ENTITY_BYTES_MAX + 1).position(|byte| byte == b';');
        match length.and_then(|length| Some((length, entity(&rest[..length])?))) {
            Some((length, one)) => {
                meant.push(one);
                rest = &rest[length + 1..];
            }
            None => meant.push('&'),
        }
    }
    meant.push_str(rest);
    meant
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    let named = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("ndash", '–'),
        ("mdash", '—'),
        ("hellip", '…'),
        ("lsquo", '‘'),
        ("rsquo", '’'),
        ("ldquo", '“'),
        ("rdquo", '”'),
        ("laquo", '«'),
        ("raquo", '»'),
        ("middot", '·'),
        ("bull", '•'),
        ("copy", '©'),
        ("reg", '®'),
        ("trade", '™'),
        ("euro", '€'),
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("Auml", 'Ä'),
        ("Ouml", 'Ö'),
        ("Uuml", 'Ü'),
        ("szlig", 'ß'),
        ("eacute", 'é'),
        ("egrave", 'è'),
        ("agrave", 'à'),
        ("ccedil", 'ç'),
        ("ntilde", 'ñ'),
    ];
    named.into_iter().find(|(known, _)| *known == name).map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(html: &str) -> (Option<String>, Option<String>, Option<String>) {
        let Page { title, summary, image } = Page::read(html.as_bytes());
        (title, summary, image)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// CON-50: as pages are written, and as they should not be.
    #[test]
    fn pages_say_what_they_are() {
        let page = "<!DOCTYPE html><HTML lang=en><head><!-- <title>no</title> --><meta charset=utf-8>\
            <script>var x = '<title>no</title><meta property=\"og:title\" content=\"no\">';</script>\
            <TITLE>\n A &amp; B&nbsp;&ndash; <b>home </TITLE>\
            <meta content='It is \"said\"' name=Description /><meta property=og:description content=\"The &#8220;best&#x201d;\">\
            <META PROPERTY = \"og:image\" CONTENT = \"/a.png?x=1&amp;y=2\"></head><body><meta property=og:title content=no>";
        assert_eq!(read(page), (some("A & B – <b>home"), some("The “best”"), some("/a.png?x=1&y=2")));
        let better =
            "<title>plain</title><meta name='twitter:title' content='tw'><meta property='og:title' content='og'>";
        assert_eq!(read(better).0, some("og"));
        assert_eq!(read("<title>ünended"), (some("ünended"), None, None));
        assert_eq!(read("<meta name=description content=\"no end"), (None, some("no end"), None));
        assert_eq!(read("<p>nothing"), (None, None, None));
        assert_eq!(read("<title> \u{1b}\n</title>"), (None, None, None));
        assert_eq!(Page::read(b"<title>gr\xfc\xdfe</title>").title, some("grüße"));
        assert_eq!(Page::read("<title>cut ü".as_bytes().split_last().unwrap().1).title, some("cut"));
        assert_eq!(read("<title>a&b;&#0;&#x110000;&unknown; &lt</title>").0, some("a&b; &#x110000;&unknown; &lt"));
    }

    /// CON-50: nothing that a page says turns or moves the text around it, or is longer than a link may be.
    #[test]
    fn what_a_page_says_is_one_short_line() {
        assert_eq!(read("<title>a\u{202e}b\u{2066}\t&#x1b;[2J\u{200f}</title>").0, some("ab [2J"));
        let title = read(&format!("<title>{}</title>", "ü".repeat(5000))).0.unwrap();
        assert!(title.len() <= LINK_TITLE_BYTES_MAX && title.ends_with("ü…"), "{}", title.len());
    }

    proptest! {
        /// CON-50: no page makes the reader panic, and what it returns fits a link.
        #[test]
        fn no_page_makes_the_reader_panic(
            pieces in proptest::collection::vec("(<|</|<!--|-->|title|meta |content=|property=og:title|\"|'|>|&#x1F98A;|&|;|=|ü| |script|[a-z]{0,3}){0,8}", 0..20),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for html in [pieces.concat().as_bytes(), &bytes] {
                let page = Page::read(html);
                prop_assert!(page.title.is_none_or(|title| crate::line::fits(&title, LINK_TITLE_BYTES_MAX)));
                prop_assert!(page.summary.is_none_or(|summary| crate::line::fits(&summary, LINK_SUMMARY_BYTES_MAX)));
            }
        }
    }
}
