//! `typing`: tells whoever is there that something is being typed.

use halcyon_client::Typing;
use serde::Serialize;

use super::group::With;
use super::{Context, send};
use crate::args::Typing as Options;
use crate::failure::Failure;
use crate::session::Session;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether the server took it for anybody.
    told: bool,
}

pub(super) async fn run(context: &mut Context, options: &Options) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = tell(context, &session, options).await;
    session.close().await;
    result
}

async fn tell(context: &Context, session: &Session, options: &Options) -> Result<(), Failure> {
    let client = session.client();
    client.go_online();
    context.in_time("there is no connection to the server", client.wait_online()).await?;
    let typing = if options.stop { Typing::Stopped } else { Typing::Started };
    let with = With::find(session, &options.with)?;
    let tell = async {
        match &with {
            With::Group(group) => client.typing_in_group(group.id, typing).await,
            With::People(people) => client.typing(people, options.from.as_ref(), typing).await,
        }
    };
    let told = context.in_time("the server does not answer", tell).await?;
    let told = told.map_err(|error| send::refused(&error, with.people()))?;
    context.output.result(&Line { kind: "typing-told", told }, |_| {
        let words = if told {
            "whoever is there was told"
        } else {
            "nobody was told: it is switched off, or nobody was heard in the last ten minutes"
        };
        words.to_owned()
    })
}
