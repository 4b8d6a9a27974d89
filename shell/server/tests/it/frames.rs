//! What is not a frame, or not one that has business here (COU-1, COU-3, COU-52).

use std::time::Duration;

use halcyon_courier::{ClientFrame, CloseCode, Limits, ServerFrame};
use halcyon_testkit::courier::Phone;
use tokio::io::DuplexStream;

use crate::world::World;

/// Says something on a fresh connection that has not been let in, and on one that has; returns how both end.
async fn said(world: &World, bytes: &[u8]) -> [CloseCode; 2] {
    let mut stranger: Phone<DuplexStream> = Phone::new(&world.alice, world.pipe());
    stranger.hello().await;
    stranger.write_bytes(bytes).await;
    let mut device = world.online(&world.alice).await;
    device.write_bytes(bytes).await;
    [stranger.closed().await, device.closed().await]
}

/// COU-3: a length that lies is refused before the frame is there.
#[tokio::test(start_paused = true)]
async fn a_frame_that_is_too_large_is_refused_by_its_length() {
    let world = World::new();
    for length in [256 * 1024 + 1, u32::MAX] {
        assert_eq!(said(&world, &length.to_be_bytes()).await, [CloseCode::FrameTooLarge; 2]);
    }
}

/// COU-14: a stranger's frame has 4 KiB at most, which every connect fits; a device's has 256.
#[tokio::test(start_paused = true)]
async fn a_stranger_has_four_kibibytes() {
    let world = World::new();
    let mut stranger = Phone::new(&world.alice, world.pipe());
    stranger.hello().await;
    stranger.write_bytes(&4_097_u32.to_be_bytes()).await;
    assert_eq!(stranger.closed().await, CloseCode::FrameTooLarge);
    let mut device = world.online(&world.alice).await;
    device.write_bytes(&4_097_u32.to_be_bytes()).await;
    device.write_bytes(&[0xff; 4_097]).await;
    assert_eq!(device.closed().await, CloseCode::MalformedFrame, "it was taken whole");
}

/// COU-3: the rest of a frame has a minute, however its bytes drip.
#[tokio::test(start_paused = true)]
async fn a_frame_that_began_ends_within_a_minute() {
    let world = World::new();
    let mut slow = world.online(&world.alice).await;
    let begun = tokio::time::Instant::now();
    slow.write_bytes(&[0, 0, 0x10, 0]).await;
    for _ in 0..59 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        slow.write_bytes(&[0x0a]).await;
    }
    assert_eq!(slow.closed().await, CloseCode::Idle);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(60) && took < Duration::from_secs(61), "{took:?}");
    // Whoever is silent between frames has not begun one.
    let mut quiet = world.online(&world.alice).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    quiet.keep_alive().await;
}

/// COU-16: frames that come too fast are all answered, in order and no faster than the rate.
#[tokio::test(start_paused = true)]
async fn frames_are_taken_no_faster_than_the_rate() {
    let world = World::with(Limits { frames_per_s: 100, frames_burst: 50, ..Limits::default() });
    let mut fast = world.online(&world.alice).await;
    let begun = tokio::time::Instant::now();
    for id in 0..450 {
        fast.write(ClientFrame::KeepAlive { id }).await;
        assert_eq!(fast.frame().await, Some(ServerFrame::KeepAliveAnswer { id }));
    }
    let took = begun.elapsed();
    // Each pause lets one frame more through.
    assert!(took >= Duration::from_millis(2_500) && took <= Duration::from_secs(5), "{took:?}");
}

/// COU-3: what does not decode, has no body, has an unknown one, or one that only a server sends.
#[tokio::test(start_paused = true)]
async fn what_is_not_a_frame_ends_the_connection() {
    let world = World::new();
    let servers_own = {
        let mut bytes = bytes::BytesMut::new();
        ServerFrame::KeepAliveAnswer { id: 1 }.write_to(&mut bytes);
        bytes.to_vec()
    };
    let cases: [&[u8]; 4] = [
        &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0],
        // Field 99, length-delimited, empty.
        &[0, 0, 0, 3, 0x9a, 0x06, 0x00],
        &servers_own,
    ];
    for bytes in cases {
        assert_eq!(said(&world, bytes).await, [CloseCode::MalformedFrame; 2], "{bytes:02x?}");
    }
}

/// COU-3: nothing but a connect comes first, and it comes once.
#[tokio::test(start_paused = true)]
async fn frames_come_in_their_order() {
    let world = World::new();
    let mut early = Phone::new(&world.alice, world.pipe());
    early.hello().await;
    early.write(ClientFrame::KeepAlive { id: 1 }).await;
    assert_eq!(early.closed().await, CloseCode::MalformedFrame);

    let mut twice = Phone::new(&world.alice, world.pipe());
    let hello = twice.hello().await;
    let topics = halcyon_courier::Topics::messages_and_alerts;
    twice.connect(crate::world::HOST, &hello, &crate::world::BINDING, topics(), world.now()).await.unwrap();
    let refused = twice.connect(crate::world::HOST, &hello, &crate::world::BINDING, topics(), world.now()).await;
    assert_eq!(refused.unwrap_err().code, CloseCode::MalformedFrame);
}

/// COU-1: a frame may come byte by byte, and many may come at once.
#[tokio::test(start_paused = true)]
async fn the_stream_may_be_cut_anywhere() {
    let world = World::new();
    let mut phone = world.online(&world.alice).await;
    let mut bytes = bytes::BytesMut::new();
    for id in 0..100 {
        ClientFrame::KeepAlive { id }.write_to(&mut bytes);
    }
    let (slow, fast) = bytes.split_at(50);
    for byte in slow {
        phone.write_bytes(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    phone.write_bytes(fast).await;
    for id in 0..100 {
        assert_eq!(phone.frame().await, Some(ServerFrame::KeepAliveAnswer { id }));
    }
}

/// COU-52: what was never delivered cannot be acknowledged.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_nothing_is_malformed() {
    let world = World::new();
    for seq in [0, 1, u64::MAX] {
        let mut phone = world.online(&world.alice).await;
        phone.acknowledge(seq).await;
        assert_eq!(phone.closed().await, CloseCode::MalformedFrame, "{seq}");
    }
}
