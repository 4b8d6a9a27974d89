//! From hello to connected. Spec: 30-courier.md §2 (COU-10 to COU-14).
//!
//! Owns the time that a stranger may take. The checks and their order are [`halcyon_courier::connect`]'s.

use std::future::Future;
use std::sync::Arc;

use halcyon_courier::connect::{Authenticated, ChannelBinding, Handshake, HandshakeEnd};
use halcyon_courier::hub::Hub;
use halcyon_courier::limits::HANDSHAKE_FRAME_BYTES_MAX;
use halcyon_courier::{ClientFrame, Close};
use tokio::time::Instant;

use super::commit::Work;
use super::connection::{Connection, Peer};
use super::frames::{self, Frames, Received};
use super::{Shared, epochs};
use crate::ports::{KnownDevice, RandomRng};

/// Lets a device in, or tells it why not. What is returned is the rest of the connection.
pub(super) async fn run<F: Frames>(
    shared: &Arc<Shared>,
    mut frames: F,
    binding: ChannelBinding,
    deadline: Instant,
) -> Option<impl Future<Output = ()> + use<F>> {
    // Boxed: what it needs is gone when the device is in, while the connection's own future stays for hours.
    let proved = Box::pin(prove(shared, &mut frames, binding));
    let refused = match tokio::time::timeout_at(deadline, proved).await {
        Ok(Ok((known, authenticated))) => return Box::pin(admit(shared, frames, known, authenticated)).await,
        Ok(Err(Some(close))) => close,
        Ok(Err(None)) => return None,
        Err(_) => Handshake::timed_out(), // COU-14
    };
    // A device that does not read its refusal is not waited for longer than one that did not connect.
    let _ = tokio::time::timeout(shared.limits.handshake_timeout.to_std(), frames::close(&mut frames, refused)).await;
    None
}

/// Speaks hello and connect. The error is what to say to the device, nothing if it left.
async fn prove(
    shared: &Shared,
    frames: &mut impl Frames,
    binding: ChannelBinding,
) -> Result<(KnownDevice, Authenticated), Option<Close>> {
    let ports = &shared.ports;
    let mut rng = RandomRng(&*ports.random);
    let (handshake, hello) =
        Handshake::begin(shared.audience.clone(), binding, &shared.limits, ports.clock.now(), &mut rng);
    frames.queue(hello);
    frames::flush(frames).await;
    // COU-14
    let frame = match frames::receive_first(frames, HANDSHAKE_FRAME_BYTES_MAX).await {
        Received::Frame(frame) => ClientFrame::decode(frame).map_err(|error| error.to_close())?,
        Received::Malformed(error) => return Err(Some(error.to_close())),
        Received::Gone | Received::Control => return Err(None),
    };
    let claim = handshake.connect(frame, ports.clock.now()).map_err(|end| match end {
        HandshakeEnd::Refuse(close) => Some(close),
        HandshakeEnd::Left(_) => None,
    })?;
    let known = ports.recipients.device(claim.device()).await.map_err(|_| Close::storage())?;
    let authenticated = claim.verify(known.as_ref().map(|known| &known.key))?;
    // An unknown device does not verify (COU-12).
    known.map(|known| (known, authenticated)).ok_or(None)
}

/// Registers the device and begins its connection (COU-13).
async fn admit<F: Frames>(
    shared: &Arc<Shared>,
    mut frames: F,
    known: KnownDevice,
    authenticated: Authenticated,
) -> Option<impl Future<Output = ()> + use<F>> {
    let device = authenticated.device();
    let handle = shared.connections.register(device);
    let remembered = match look_up(shared, &authenticated).await {
        Ok(remembered) => remembered,
        Err(close) => {
            shared.connections.remove(&handle);
            let limit = shared.limits.handshake_timeout.to_std();
            let _ = tokio::time::timeout(limit, frames::close(&mut frames, close)).await;
            return None;
        }
    };
    let mut actions = Vec::new();
    let hub = Hub::begin(
        authenticated,
        known.push_token,
        remembered,
        shared.limits.clone(),
        shared.budgets.clone(),
        shared.ports.clock.now(),
        &mut actions,
    );
    let peer = Peer { account: known.account, device };
    Some(Connection::new(shared.clone(), frames, handle, peer, hub, actions))
}

/// Looks whether the device may stay, and returns the highest epoch that it showed before (COU-18). That of this connect is
/// put in line. To be asked after registering: a revocation or shutdown from then on finds the handle, one before is found
/// here.
async fn look_up(shared: &Shared, authenticated: &Authenticated) -> Result<u64, Close> {
    let device = authenticated.device();
    // Held until the epoch is in line, so that a removal forgets it with the others.
    let _admitted = shared.admission.enter().await;
    let present = shared.ports.recipients.device(device).await;
    if shared.is_stopping() {
        return Err(Close::going_away());
    }
    present.map_err(|_| Close::storage())?.ok_or_else(Close::revoked)?; // COU-55
    // Without knowing it the device must not be let in: it would take itself for the original.
    let remembered = epochs::remembered(shared, device).await.map_err(|_| Close::storage())?;
    if authenticated.epoch() > remembered
        && let Some(shown) = shared.epochs.show(device, authenticated.epoch())
    {
        // COU-19: if there is no place in line, it is not waited for one.
        let _ = shared.work.try_send(Work::Show(shown));
    }
    Ok(remembered)
}
