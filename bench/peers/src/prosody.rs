//! Prosody: XMPP, with archive and offline store.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::server::{self, Server};
use crate::wire::Door;
use crate::xmpp::Xmpp;
use crate::{About, Running};

pub(crate) async fn start(home: &Path) -> Result<Running<Xmpp>> {
    let program = server::find(&["/usr/bin/prosody", "/usr/local/bin/prosody"])?;
    let port = server::free_port()?;
    let mut server = Server::new(home)?;
    let template = include_str!("../config/prosody.cfg.lua");
    let config = server.write_config("prosody.cfg.lua", template, &[("port", &port.to_string())])?;
    let mut command = Command::new(program);
    command.arg("-F").arg("--config").arg(config);
    server.spawn(command)?;
    let door = Door::new(server.folder(), port)?;
    let tls = server.opens(&door).await?;
    let about = About {
        version: server::package_version("prosody"),
        configuration: "archive of all messages, offline store, stream acknowledgements, its own files (its default): not synced",
        tls,
    };
    Ok(Running { about, peer: Xmpp::new(server, door) })
}
