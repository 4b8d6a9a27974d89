//! WebSockets that never end what they begin (COU-2, COU-3, COU-14, COU-16).

use std::time::Duration;

use halcyon_courier::{ClientFrame, CloseCode, ServerFrame};
use halcyon_rude::citizen::{Binding, Online};
use halcyon_rude::server::Setup;
use halcyon_rude::wire::{End, HOME, message};
use tokio::io::AsyncWriteExt as _;

use crate::world::World;

async fn device(world: &World) -> Online {
    world.alice.online_from(&world.way, HOME, Binding::WebSocket).await.unwrap()
}

/// COU-2, COU-3: each thing that is no frame has its code, whether a stranger or a device says it.
#[tokio::test]
async fn what_is_no_frame_has_its_code() {
    use CloseCode::{FrameTooLarge, MalformedFrame};
    let world = World::start().await;
    let huge = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes()[..], &[0; 4]].concat();
    let long = [&[0x82, 0xff][..], &(1_u64 << 32).to_be_bytes()[..], &[0; 4]].concat();
    let in_parts = [message(0x02, &[7; 100_000]), message(0x00, &[7; 100_000]), message(0x00, &[7; 100_000])].concat();
    let cases: [(&str, Vec<u8>, CloseCode); 10] = [
        ("2^64 - 1 bytes", huge, FrameTooLarge),
        ("4 GiB", long, FrameTooLarge),
        ("too much, in parts", in_parts, FrameTooLarge),
        ("text", message(0x81, b"hello"), MalformedFrame),
        ("text that is none", message(0x81, &[0xff, 0xfe]), MalformedFrame),
        ("compressed", message(0xc2, &[0x78, 0x9c, 3, 0]), MalformedFrame),
        ("no mask", vec![0x82, 1, 7], MalformedFrame),
        ("a part of nothing", message(0x80, &[7]), MalformedFrame),
        ("a long ping", message(0x89, &[7; 126]), MalformedFrame),
        ("an unknown kind", message(0x83, &[7]), MalformedFrame),
    ];
    for (what, bytes, code) in cases {
        let mut stranger = world.way.websocket(HOME).await.unwrap();
        assert!(matches!(stranger.message().await.unwrap(), Some(ServerFrame::Hello(_))));
        // It may hang up while this still speaks.
        let _ = stranger.write(&bytes).await;
        assert_eq!(stranger.end_of_messages().await.unwrap(), End::Said(code), "{what}, by a stranger");
        let mut device = device(&world).await;
        let _ = device.line.write(&bytes).await;
        assert_eq!(device.line.end_of_messages().await.unwrap(), End::Said(code), "{what}, by a device");
    }
    world.is_well().await;
}

/// COU-14: a stranger has 4 KiB, and a few pings.
#[tokio::test]
async fn a_stranger_has_little_room() {
    let world = World::start().await;
    let announced = [&[0x82, 0xfe][..], &4_097_u16.to_be_bytes()[..], &[0; 4]].concat();
    for (bytes, code) in
        [(announced, CloseCode::FrameTooLarge), (message(0x89, b"ping").repeat(20), CloseCode::MalformedFrame)]
    {
        let mut stranger = world.way.websocket(HOME).await.unwrap();
        let _ = stranger.write(&bytes).await;
        assert_eq!(stranger.end_of_messages().await.unwrap(), End::Said(code));
    }
    world.is_well().await;
}

/// COU-16: pings whose pongs nobody reads, and fragments of a message that never ends, stay in the network.
#[tokio::test]
async fn floods_below_frames_stay_in_the_network() {
    // Nothing but the server's own bounds is to hold them: no rate does.
    let rates = ["limits-frames-per-s", "limits-frames-burst", "limits-bytes-per-s"];
    let fast = rates.iter().fold(Setup::default(), |setup, rate| setup.with(rate, u32::MAX));
    let world = World::with(fast).await;
    for (first, flood) in
        [(Vec::new(), message(0x89, &[7; 125]).repeat(500)), (message(0x02, &[]), message(0x00, &[]).repeat(10_000))]
    {
        let mut rude = device(&world).await;
        rude.line.write(&first).await.unwrap();
        let flooding = async { while rude.line.stream.write_all(&flood).await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_secs(3), flooding).await;
        world.is_small().await;
    }
    world.is_well().await;
}

/// COU-4: a device that does not answer the close is not waited for.
#[tokio::test]
async fn who_never_closes_is_closed() {
    let world = World::start().await;
    let mut devices = Vec::new();
    for _ in 0..20 {
        let mut device = device(&world).await;
        device.line.say_message(ClientFrame::Ack { seq: 99 }).await.unwrap();
        assert_eq!(device.line.end_of_messages().await.unwrap(), End::Said(CloseCode::MalformedFrame));
        devices.push(device);
    }
    world.is_well().await;
}
