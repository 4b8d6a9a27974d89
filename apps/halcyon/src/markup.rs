//! Styles and mentions of a text as a person types them (CON-16, CON-17).
//!
//! Owns the marks: `**bold**`, `*italic*`, `__underline__`, `~~strikethrough~~`, `{shake}an animation{/}`; a backslash before a mark
//! makes it a character. Does not know how a text is shown.

use std::iter::Peekable;
use std::str::Chars;

use halcyon_client::{Animation, Mention, Range, Style, Styled};
use halcyon_types::Handle;

use crate::failure::Failure;

/// Names of animations.
pub(crate) const ANIMATIONS: [(&str, Animation); 8] = [
    ("big", Animation::Big),
    ("small", Animation::Small),
    ("shake", Animation::Shake),
    ("nod", Animation::Nod),
    ("explode", Animation::Explode),
    ("ripple", Animation::Ripple),
    ("bloom", Animation::Bloom),
    ("jitter", Animation::Jitter),
];

/// A mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Begin(Animation),
    End,
}

/// Takes the marks out of a text, and returns what they say.
///
/// # Errors
/// [`Failure`] if a mark is not closed.
pub(crate) fn styled(typed: &str) -> Result<(String, Vec<Styled>), Failure> {
    let mut marked = Marked::default();
    let mut characters = typed.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('*' | '_' | '~' | '{' | '\\')) => marked.text.extend(characters.next()),
            _ => match mark(character, &mut characters) {
                Some(mark) => marked.apply(mark),
                None => marked.text.push(character),
            },
        }
    }
    marked.cut();
    match marked.style {
        style if style == Style::default() => Ok((marked.text, marked.styles)),
        Style { animation: Some(_), .. } => Err(unclosed("an animation", "{/}")),
        Style { bold: true, .. } => Err(unclosed("bold", "**")),
        Style { underline: true, .. } => Err(unclosed("underline", "__")),
        Style { strikethrough: true, .. } => Err(unclosed("strikethrough", "~~")),
        _ => Err(unclosed("italic", "*")),
    }
}

fn unclosed(what: &str, mark: &str) -> Failure {
    Failure::user(format!("{what} begins in the text and does not end"))
        .next(format!("close it with {mark}, or write a backslash before each mark that is a character"))
}

#[derive(Default)]
struct Marked {
    text: String,
    styles: Vec<Styled>,
    style: Style,
    /// Where the stretch with this style began.
    from: usize,
}

impl Marked {
    fn apply(&mut self, mark: Mark) {
        self.cut();
        let style = &mut self.style;
        match mark {
            Mark::Bold => style.bold = !style.bold,
            Mark::Italic => style.italic = !style.italic,
            Mark::Underline => style.underline = !style.underline,
            Mark::Strikethrough => style.strikethrough = !style.strikethrough,
            Mark::Begin(animation) => style.animation = Some(animation),
            Mark::End => style.animation = None,
        }
    }

    /// Ends the stretch that goes up to here.
    fn cut(&mut self) {
        if self.text.len() > self.from && self.style != Style::default() {
            self.styles.push(Styled { range: range(self.from, self.text.len()), style: self.style });
        }
        self.from = self.text.len();
    }
}

/// A text has at most 12,000 bytes (CON-3); where it has more, it is refused whatever stands here.
fn range(from: usize, to: usize) -> Range {
    let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    Range { start: number(from), length: number(to - from) }
}

/// Returns the mark that begins with a character, and takes the rest of it.
fn mark(character: char, rest: &mut Peekable<Chars<'_>>) -> Option<Mark> {
    let doubled = match character {
        '*' => Mark::Bold,
        '_' => Mark::Underline,
        '~' => Mark::Strikethrough,
        '{' => return braced(rest),
        _ => return None,
    };
    match rest.next_if_eq(&character) {
        Some(_) => Some(doubled),
        None => (character == '*').then_some(Mark::Italic),
    }
}

fn braced(rest: &mut Peekable<Chars<'_>>) -> Option<Mark> {
    let name: String = rest.clone().take_while(|character| *character != '}').collect();
    let mark = match name.as_str() {
        "/" => Mark::End,
        name => Mark::Begin(ANIMATIONS.into_iter().find(|(known, _)| *known == name)?.1),
    };
    // With the brace at its end; a name without one is a text.
    rest.clone().nth(name.chars().count()).filter(|character| *character == '}')?;
    rest.nth(name.chars().count());
    Some(mark)
}

/// Finds where a text names people: by `@` and the address, or the part of it before its `@`.
///
/// # Errors
/// [`Failure`] if somebody is not named in the text.
pub(crate) fn mentions(text: &str, people: &[Handle]) -> Result<Vec<Mention>, Failure> {
    let mut found: Vec<Mention> = people.iter().map(|handle| mention(text, handle)).collect::<Result<_, _>>()?;
    found.sort_by_key(|mention| mention.range.start);
    Ok(found)
}

fn mention(text: &str, handle: &Handle) -> Result<Mention, Failure> {
    let address = handle.address();
    let name = address.split('@').next().unwrap_or(address);
    let stretch = [format!("@{address}"), format!("@{name}")]
        .into_iter()
        .find_map(|written| text.find(&written).map(|start| range(start, start + written.len())));
    let range = stretch.ok_or_else(|| {
        Failure::user(format!("the text does not mention {address}")).next(format!("write @{name} in it"))
    })?;
    Ok(Mention { range, handle: handle.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(typed: &str) -> String {
        let (text, styles) = styled(typed).unwrap();
        let styles: Vec<String> = styles
            .iter()
            .map(|Styled { range, style }| {
                let look = [
                    (style.bold, "b"),
                    (style.italic, "i"),
                    (style.underline, "u"),
                    (style.strikethrough, "s"),
                    (style.animation.is_some(), "a"),
                ];
                let look: String = look.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
                format!("{look}={}", &text[range.bytes()])
            })
            .collect();
        format!("{text}|{}", styles.join("|"))
    }

    #[test]
    fn marks_become_styles() {
        assert_eq!(seen("plain"), "plain|");
        assert_eq!(seen("a **b** *c* __d__ ~~e~~"), "a b c d e|b=b|i=c|u=d|s=e");
        assert_eq!(seen("**böld *and* more**"), "böld and more|b=böld |bi=and|b= more");
        assert_eq!(seen("{shake}**oh**{/} no"), "oh no|ba=oh");
        assert_eq!(seen("***both***"), "both|bi=both");
        // No marks.
        assert_eq!(seen(r"2 \* 3 \\ snake_case ~ {set} {shake \{big}"), r"2 * 3 \ snake_case ~ {set} {shake {big}|");
        assert_eq!(seen("**** empty"), " empty|");
    }

    #[test]
    fn what_begins_must_end() {
        for (typed, what) in [("**b", "bold"), ("a *b", "italic"), ("__b", "underline"), ("{nod}b", "an animation")] {
            let failure = styled(typed).unwrap_err();
            assert!(failure.what.starts_with(what), "{failure}");
        }
    }

    #[test]
    fn mentions_are_found_in_order() {
        let [bob, carol] = ["bob@example.org", "carol@example.org"].map(|text| Handle::parse(text).unwrap());
        let text = "hi @carol@example.org, where is @bob?";
        let found = mentions(text, &[bob.clone(), carol.clone()]).unwrap();
        let found: Vec<_> = found.iter().map(|one| (&text[one.range.bytes()], &one.handle)).collect();
        assert_eq!(found, [("@carol@example.org", &carol), ("@bob", &bob)]);
        let failure = mentions("hi bob", &[bob]).unwrap_err();
        assert_eq!(failure.next.as_deref(), Some("write @bob in it"));
    }
}
