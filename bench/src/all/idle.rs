//! What the server's memory grows by for a device that is connected and silent.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::table::Figure;
use super::{Scale, scratch};
use crate::courier::clients::Clients;
use crate::courier::process::{ServerProcess, connections_allowed};
use crate::courier::{Arguments, load};

pub(super) async fn measure(scale: &Scale, home: &Path) -> Result<Vec<Figure>> {
    let allowed = u32::try_from(connections_allowed()?).unwrap_or(u32::MAX);
    let mut figures = Vec::new();
    let mut each = 0.0;
    for idle in scale.idle.iter().map(|idle| (*idle).min(allowed)) {
        let folder = scratch(home)?;
        let arguments = Arguments { senders: 0, receivers: 0, idle, ..Arguments::of(1) };
        let server = ServerProcess::start(folder.path(), idle, 1).await?;
        let clients = Clients::new(folder.path(), server.ports())?;
        let before = server.settled_resident_bytes().await?;
        let begun = Instant::now();
        let devices = load::connect_idle(&clients, &arguments).await?;
        let per_s = f64::from(idle) / begun.elapsed().as_secs_f64();
        each = server.settled_resident_bytes().await?.saturating_sub(before) as f64 / f64::from(idle.max(1));
        figures.push(
            Figure::new(format!("{idle} devices from 8 addresses: memory of each"), each, "B").at_most(14.0 * 1024.0),
        );
        figures.push(Figure::new(format!("{idle} devices: TLS and connect, both ends on this machine"), per_s, "/s"));
        drop(devices);
        server.stop().await?;
    }
    let million_gib = each * 1e6 / f64::from(1 << 30);
    figures.push(Figure::new("EXTRAPOLATED, not measured: 1,000,000 devices at the last of these", million_gib, "GiB"));
    Ok(figures)
}
