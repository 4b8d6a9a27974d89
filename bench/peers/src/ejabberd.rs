//! ejabberd: XMPP, with archive and offline store.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::server::{self, Server};
use crate::wire::Door;
use crate::xmpp::Xmpp;
use crate::{About, Running};

pub(crate) async fn start(home: &Path) -> Result<Running<Xmpp>> {
    // What `ejabberdctl foreground` comes to, without changing to a user who may not write the folder, and without a node name:
    // nobody has to reach it by Erlang's distribution.
    let erlang = server::find(&["/usr/bin/erl"])?;
    let modules = server::find(&["/usr/lib/*/ejabberd-*/ebin", "/usr/lib/ejabberd-*/ebin"])?;
    let libraries = modules.ancestors().nth(2).context("an odd place for ejabberd")?;
    let port = server::free_port()?;
    let mut server = Server::new(home)?;
    let folder = server.folder().to_owned();
    let config =
        server.write_config("ejabberd.yml", include_str!("../config/ejabberd.yml"), &[("port", &port.to_string())])?;
    let mut command = Command::new(erlang);
    command
        .args(["-noinput", "+K", "true", "+P", "250000", "-pa"])
        .arg(&modules)
        .args(["-mnesia", "dir"])
        .arg(format!("{:?}", folder.join("data")))
        .args(["-s", "ejabberd"])
        .env("HOME", &folder)
        .env("ERL_LIBS", libraries)
        .env("ERL_MAX_PORTS", "32000")
        .env("ERL_CRASH_DUMP", folder.join("crash"))
        .env("EJABBERD_CONFIG_PATH", config)
        .env("EJABBERD_LOG_PATH", folder.join("ejabberd.log"));
    server.spawn(command)?;
    let door = Door::new(&folder, port)?;
    let tls = server.opens(&door).await?;
    let about = About {
        version: server::package_version("ejabberd"),
        configuration: "archive of all messages, offline store, stream acknowledgements, Mnesia (its default): not synced a message",
        tls,
    };
    Ok(Running { about, peer: Xmpp::new(server, door) })
}
