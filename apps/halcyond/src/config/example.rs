//! `halcyond config example`: a documented file with every key.
//!
//! Owns its layout. Keys with a default are shown commented out with it; required ones stand as examples.

use super::keys::{Default, Form, KEYS, Key};

/// Columns of a comment.
const WIDTH: usize = 100;

/// Returns the example.
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# Settings of halcyond. Each can also be given as environment variable and as flag; a flag wins over the\n\
         # environment, the environment over this file, and this file over the default, which is what the commented lines show.\n\
         # Relative paths are relative to the folder of this file. `halcyond config check` shows what holds.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (own_section, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if own_section != section {
            section = own_section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push('\n');
        for line in wrap(key.meaning, WIDTH) {
            text.push_str(&format!("# {line}\n"));
        }
        if let Form::Choice(words) = key.form {
            text.push_str(&format!("# One of: {}.\n", words.join(", ")));
        }
        text.push_str(&format!("# {} or --{}\n", key.variable(), key.flag()));
        let hidden = if key.default == Default::Required { "" } else { "# " };
        text.push_str(&format!("{hidden}{name} = {}\n", shown(key)));
    }
    text
}

fn shown(key: &Key) -> String {
    let value = match key.default {
        Default::Is(value) => value,
        Default::Absent | Default::Required => key.example,
    };
    match key.form {
        Form::Number { .. } | Form::Switch => value.to_owned(),
        _ => format!("\"{value}\""),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}
