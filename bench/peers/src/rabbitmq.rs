//! RabbitMQ: messages that survive a restart in durable queues, confirmed to their publisher and acknowledged by their consumer.
//!
//! A receiver has a queue of its own.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::amqp::Amqp;
use crate::load::Peer;
use crate::server::{self, Server};
use crate::wire::Door;
use crate::{About, Running};

/// A running broker.
pub(crate) struct RabbitMq {
    _server: Server,
    door: Door,
}

pub(crate) async fn start(home: &Path) -> Result<Running<RabbitMq>> {
    // Not the wrapper in the path, which changes to a user who may not write the folder.
    let program = server::find(&["/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"])?;
    let epmd = server::find(&["/usr/bin/epmd"])?;
    let [port, epmd_port, node_port] = [server::free_port()?, server::free_port()?, server::free_port()?];
    let mut server = Server::new(home)?;
    let folder = server.folder().to_owned();
    let config = server.write_config(
        "rabbitmq.conf",
        include_str!("../config/rabbitmq.conf"),
        &[("port", &port.to_string())],
    )?;
    // One that the broker would start by itself stays behind.
    let mut command = Command::new(epmd);
    command.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
    server.spawn(command)?;
    server.listens(epmd_port).await?;
    std::fs::write(folder.join("plugins"), "[].")?;
    let mut command = Command::new(program);
    command
        .env("HOME", &folder)
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("RABBITMQ_NODENAME", "peer@localhost")
        .env("RABBITMQ_DIST_PORT", node_port.to_string())
        .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
        .env("RABBITMQ_CONFIG_FILE", config)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder.join("data"))
        .env("RABBITMQ_PID_FILE", folder.join("pid"));
    server.spawn(command)?;
    let door = Door::new(&folder, port)?;
    let tls = server.opens(&door).await?;
    let about = About {
        version: server::package_version("rabbitmq-server"),
        configuration: "a durable classic queue a receiver, persistent messages, confirms, acknowledgements",
        tls,
    };
    Ok(Running { about, peer: RabbitMq { _server: server, door } })
}

impl Peer for RabbitMq {
    type Client = Amqp;

    async fn receiver(&self, number: u32) -> Result<Amqp> {
        let mut amqp = Amqp::connect(&self.door, queue(number)).await?;
        amqp.consume().await?;
        Ok(amqp)
    }

    async fn sender(&self, _number: u32, to: u32) -> Result<Amqp> {
        let mut amqp = Amqp::connect(&self.door, queue(to)).await?;
        amqp.confirm().await?;
        Ok(amqp)
    }
}

fn queue(receiver: u32) -> String {
    format!("mail-{receiver}")
}
