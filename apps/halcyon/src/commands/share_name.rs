//! `share-name`: tells chosen people what one wants to be called.
//!
//! - It is in the outbox before anything leaves (SND-1), one message for each, so that nobody learns who else was told (CON-53).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use halcyon_client::{Image, Naming};
use serde::Serialize;

use super::{Context, send};
use crate::args::ShareName;
use crate::failure::Failure;
use crate::session::Session;

/// A photo is at most 8 KiB (CON-51); what is longer is not read to its end.
const PHOTO_READ_BYTES_MAX: u64 = 64 * 1024;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whom.
    to: Vec<String>,
    /// The name; null if it was taken back.
    name: Option<String>,
    /// Whether there is a photo.
    photo: bool,
}

pub(super) async fn run(context: &mut Context, options: &ShareName) -> Result<(), Failure> {
    let naming = naming(options)?;
    let session = Session::open(context).await?;
    let result = share(context, &session, options, &naming).await;
    session.close().await;
    result
}

async fn share(context: &Context, session: &Session, options: &ShareName, naming: &Naming) -> Result<(), Failure> {
    let client = session.client();
    client.go_online();
    // What could not leave before the command ends is in the outbox; what can leave does so before the session is closed.
    let _ = context.in_time("the connection", client.wait_online()).await;
    let shared = client.share_name(&options.to, options.from.as_ref(), naming).await;
    shared.map_err(|error| send::refused(&error, &options.to))?;
    let line = Line {
        kind: "name-shared",
        to: options.to.iter().map(ToString::to_string).collect(),
        name: naming.name().map(str::to_owned),
        photo: naming.photo().is_some(),
    };
    context.output.result(&line, |_| {
        let to: Vec<&str> = options.to.iter().map(halcyon_types::Handle::address).collect();
        match &line.name {
            Some(_) => format!("told {} what to call you", to.join(", ")),
            None => format!("took back what {} was told to call you", to.join(", ")),
        }
    })
}

fn naming(options: &ShareName) -> Result<Naming, Failure> {
    let Some(name) = &options.name else { return Ok(Naming::nothing()) };
    let naming = Naming::new(name.as_str()).ok_or_else(|| Failure::user("a name is one line of 1 to 128 bytes"))?;
    match &options.photo {
        None => Ok(naming),
        Some(path) => naming.with_photo(photo(path)?).ok_or_else(|| too_large(path)),
    }
}

fn photo(path: &Path) -> Result<Image, Failure> {
    let unreadable = |error| Failure::user(format!("the photo {} cannot be read: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(PHOTO_READ_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Image::new(bytes).ok_or_else(|| Failure::user(format!("{} is no PNG, JPEG or WebP file", path.display())))
}

fn too_large(path: &Path) -> Failure {
    Failure::user(format!("the photo {} has more than 8 KiB", path.display()))
        .next("make it smaller: 96 by 96 pixels are enough")
}
