//! `show`: one message with all that is known of it: what it said before, who feels what about it, how far it came.

use halcyon_client::ShownMessage;
use serde::Serialize;

use super::{Context, act};
use crate::args::Show;
use crate::failure::Failure;
use crate::line::part::Carried;
use crate::line::{DeliveryLine, MessageLine, time_words};
use crate::output::Style;
use crate::session::Session;
use crate::text::sanitize;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    message: MessageLine,
    /// Its way to each device, of a message from here.
    deliveries: Vec<DeliveryLine>,
}

pub(super) async fn run(context: &mut Context, options: &Show) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = show(context, &session, options);
    session.close().await;
    result
}

fn show(context: &Context, session: &Session, options: &Show) -> Result<(), Failure> {
    let message = act::find(session, &options.message)?;
    if options.card {
        return card(context, &message);
    }
    let id = message.id.to_hex();
    let deliveries = session.client().deliveries(message.id)?;
    let line = Line {
        kind: "shown",
        message: MessageLine::from(&message),
        deliveries: deliveries.iter().map(|delivery| DeliveryLine::new(&id, delivery)).collect(),
    };
    context.output.result(&line, |output| {
        let mut words = vec![line.message.words(output)];
        for earlier in &line.message.earlier {
            let said = sanitize(&earlier.text).replace('\n', "\n    ");
            words.push(output.styled(Style::Faint, format!("    {} it said: {said}", time_words(earlier.said_ms))));
        }
        words.push(output.styled(Style::Faint, format!("    id {id}, stored {}", time_words(line.message.stored_ms))));
        words.extend(line.deliveries.iter().map(|delivery| format!("    {}", delivery.words(output))));
        words.join("\n")
    })
}

/// Prints the card that a message carries, and nothing else.
fn card(context: &Context, message: &ShownMessage) -> Result<(), Failure> {
    let mut contacts = Carried::of(message).contacts;
    if contacts.is_empty() {
        return Err(Failure::user("this message carries no card"));
    }
    let contact = contacts.remove(0);
    context.output.result(&serde_json::json!({"type": "card", "vcard": contact.vcard}), |_| {
        // The output ends the last line itself. In a file, control characters do nothing; cards have none but line breaks (CON-43).
        contact.vcard.trim_end_matches(['\r', '\n']).to_owned()
    })
}
