//! An export as a page to read.
//!
//! Owns the HTML. What peers wrote comes into it escaped (CON-3); it has no script, and loads nothing.

use std::fmt::Write;

use halcyon_types::Handle;

use crate::line::message::{MentionLine, StyleLine};
use crate::line::{GapLine, GroupChangeLine, MessageLine, time_words};
use crate::output::Output;
use crate::text::sanitize;

const STYLE: &str = "body{font:16px/1.4 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}
article{margin:.6rem 0;padding:.5rem .8rem;border-radius:.6rem;background:#eee;white-space:pre-wrap}
article.own{background:#d5e8ff;margin-left:3rem}article.peer{margin-right:3rem}
header,footer,.gap{color:#666;font-size:.8rem}mark{background:#ffe9a8}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}article{background:#2a2a2a}article.own{background:#123a63}header,footer,.gap{color:#aaa}}";

pub(super) fn head() -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>Halcyon</title><style>{STYLE}</style>"
    )
}

pub(super) fn foot() -> String {
    "</html>".to_owned()
}

pub(super) fn conversation(members: &[Handle], group: Option<&str>) -> String {
    let members: Vec<&str> = members.iter().map(Handle::address).collect();
    let members = escaped(&members.join(", "));
    match group {
        Some(name) => format!("<h2>{}</h2><p>{members}</p>", escaped(name)),
        None => format!("<h2>{members}</h2>"),
    }
}

pub(super) fn gap(gap: &GapLine) -> String {
    note(&gap.words(&Output::plain(crate::args::Format::Text)))
}

pub(super) fn change(change: &GroupChangeLine) -> String {
    note(&change.words(&Output::plain(crate::args::Format::Text)))
}

fn note(words: &str) -> String {
    format!("<p class=\"gap\">{}</p>", escaped(words))
}

pub(super) fn message(message: &MessageLine) -> String {
    let side = if message.origin == "peer" { "peer" } else { "own" };
    let sender = message.sender.split_once(':').map_or(message.sender.as_str(), |(_, address)| address);
    let mut html = format!(
        "<article class=\"{side}\" id=\"m{}\"><header>{} · {}</header>",
        message.number,
        escaped(sender),
        time_words(message.sent_ms)
    );
    if let Some(answered) = message.reply_to.as_ref().and_then(|target| target.number) {
        // What is written to a string is written.
        let _ = write!(html, "<header>in answer to <a href=\"#m{answered}\">#{answered}</a></header>");
    }
    if let Some(subject) = &message.subject {
        let _ = writeln!(html, "<strong>{}</strong>", escaped(subject));
    }
    match &message.text {
        Some(text) => html.push_str(&looking(text, &message.styles, &message.mentions)),
        None if message.unsent => html.push_str("<em>unsent</em>"),
        None if !message.carried.is_empty() => {}
        None => html.push_str("<em>a message that this version cannot show</em>"),
    }
    // In words, without a link: a page that is looked at later must not lead where somebody once wanted one to go.
    for words in message.carried.words() {
        let _ = write!(html, "<footer>{}</footer>", escaped(&words));
    }
    for earlier in &message.earlier {
        let said = time_words(earlier.said_ms);
        let _ = write!(html, "<footer>{said}: <del>{}</del></footer>", escaped(&earlier.text));
    }
    let tapbacks: Vec<String> =
        message.tapbacks.iter().map(|one| format!("{} {}", escaped(&one.tapback), escaped(&one.by))).collect();
    if !tapbacks.is_empty() {
        let _ = write!(html, "<footer>{}</footer>", tapbacks.join(", "));
    }
    html + "</article>"
}

/// Returns a text with its styles as elements, cut where one begins or ends.
fn looking(text: &str, styles: &[StyleLine], mentions: &[MentionLine]) -> String {
    let mut html = String::new();
    for (stretch, style, is_mention) in crate::line::message::stretches(text, styles, mentions) {
        let names = style.map_or(&[][..], |style| &style.styles);
        let elements: Vec<&str> =
            names.iter().filter_map(|name| element(name)).chain(is_mention.then_some("mark")).collect();
        html.extend(elements.iter().map(|element| format!("<{element}>")));
        html.push_str(&escaped(stretch));
        html.extend(elements.iter().rev().map(|element| format!("</{element}>")));
    }
    html
}

fn element(style: &str) -> Option<&'static str> {
    Some(match style {
        "bold" => "b",
        "italic" => "i",
        "underline" => "u",
        "strikethrough" => "s",
        _ => return None,
    })
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for one in sanitize(text).chars() {
        match one {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            one => html.push(one),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CON-3: a text cannot be anything but a text.
    #[test]
    fn peers_write_no_html() {
        let styles = [StyleLine { start: 3, length: 8, styles: vec!["bold", "italic"], animation: None }];
        let shown = looking("a <script>&\u{202e}\"'", &styles, &[]);
        assert_eq!(shown, "a &lt;<b><i>script&gt;&amp;</i></b>\u{fffd}&quot;&#39;");
    }
}
