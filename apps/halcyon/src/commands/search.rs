//! `search`: messages in which words occur, from the profile alone.

use super::Context;
use crate::args::Search;
use crate::failure::Failure;
use crate::line::Line;
use crate::session::Session;

pub(super) async fn run(context: &mut Context, options: &Search) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = search(context, &session, options).await;
    session.close().await;
    result
}

async fn search(context: &Context, session: &Session, options: &Search) -> Result<(), Failure> {
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let (client, typed) = (session.client().clone(), options.words.join(" "));
    let progress = context.output.progress("looking");
    // The first search of a long history takes a while.
    let found = tokio::task::spawn_blocking(move || client.search(&typed, limit)).await;
    drop(progress);
    let found = found.map_err(|error| Failure::unexpected(format!("the search broke off: {error}")))??;
    if found.is_empty() {
        context.output.note("Nothing was found.");
    }
    found.iter().rev().try_for_each(|message| {
        let line = Line::of_message(message);
        context.output.result(&line, |output| line.words(output))
    })
}
