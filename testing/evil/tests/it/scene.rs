//! Alice, whose server lies to her, and the people she talks to.

use halcyon_client::{Event, Events, Fault, Notice, SuiteUse, Until, event::DeliveryState, ports::Store};
use halcyon_crypto::SigningKey;
use halcyon_evil::{Lie, Signing};
use halcyon_suites::{DeviceKeys, Suite};

use crate::world::{Device, World, until, within};

/// Bob has two devices, Carol and Mallory one each. All of them are honest but Mallory, who owns the server.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) alice: Device,
    pub(crate) bob: Device,
    pub(crate) tablet: Device,
    pub(crate) carol: Device,
    pub(crate) mallory: Device,
    events: Events,
}

impl Scene {
    /// Everybody is there, and Alice talked to Bob before and after he had a tablet, and to Carol. She looked Mallory up.
    pub(crate) async fn set() -> Self {
        let world = World::start().await;
        // Lies about prekeys are about suite 2, which asks for one with every message; a session of suite 3 asks once.
        let alice = world.device("alice", "phone");
        alice.client.switch_suite(Suite::Pq3, SuiteUse::Off).await.unwrap();
        world.register_on(&alice).await;
        let bob = world.register("bob", "phone").await;
        let (carol, mallory) = (world.register("carol", "phone").await, world.register("mallory", "phone").await);
        let events = alice.client.subscribe();
        let sent = alice.say(&bob, "hello").await;
        alice.wait(&sent, Until::Delivered).await;
        let tablet = world.link(&bob, "tablet").await;
        alice.client.lookup(&bob.handle).await.unwrap();
        alice.client.lookup(&mallory.handle).await.unwrap();
        let scene = Self { world, alice, bob, tablet, carol, mallory, events };
        scene.talks_with_bob("hello, both of you").await;
        scene.talks_with_carol("hello, carol").await;
        scene
    }

    /// A message of Alice's reaches every device of Bob's, and an answer comes back.
    pub(crate) async fn talks_with_bob(&self, text: &str) {
        self.talks_with_bob_before(text, None).await;
    }

    /// The same while something waits that could not be sealed (SND-4): it may come behind.
    pub(crate) async fn talks_with_bob_before(&self, text: &str, late: Option<&str>) {
        let sent = self.alice.say(&self.bob, text).await;
        let deliveries = self.alice.wait(&sent, Until::Delivered).await;
        let delivered = |state: &DeliveryState| matches!(state, DeliveryState::Delivered(_));
        assert_eq!(deliveries.iter().filter(|delivery| delivered(&delivery.state)).count(), 2, "{deliveries:?}");
        for device in [&self.bob, &self.tablet] {
            let texts = device.texts();
            let last = texts.iter().map(String::as_str).rfind(|said| Some(*said) != late);
            assert_eq!(last, Some(text), "{texts:?}");
        }
        let answer = format!("re: {text}");
        let sent = self.bob.say(&self.alice, &answer).await;
        self.bob.wait(&sent, Until::Delivered).await;
        assert_eq!(self.alice.texts().last(), Some(&answer));
    }

    /// The same with Carol, about whom nobody lies.
    pub(crate) async fn talks_with_carol(&self, text: &str) {
        let sent = self.alice.say(&self.carol, text).await;
        self.alice.wait(&sent, Until::Delivered).await;
        assert_eq!(self.carol.texts().last().map(String::as_str), Some(text));
    }

    /// What Bob writes still arrives: his devices are known from before.
    pub(crate) async fn still_hears_bob(&self, text: &str) {
        let sent = self.bob.say(&self.alice, text).await;
        self.bob.wait(&sent, Until::Accepted).await;
        until("bob's words", || self.alice.texts().last().map(String::as_str) == Some(text)).await;
    }

    /// The directory lies about Bob, and Alice asks for him: she is refused, and alarmed with these words.
    pub(crate) async fn is_refused(&mut self, lie: Lie, says: &str) {
        // Her receipt for what Bob said last is on its way.
        until("an empty outbox", || self.alice.client.outbox_len().unwrap() == 0).await;
        let known = self.alice.messages().len();
        self.see_all_alarms();
        self.alice.http.tell_about(&self.bob.handle, lie);
        let error = self.alice.client.lookup(&self.bob.handle).await.unwrap_err();
        assert!(self.alice.http.told() > 0, "nobody lied");
        assert_eq!(error.fault(), Fault::UntrustedKey, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        self.is_alarmed(says).await;
        // Whoever writes all the same is refused in the same words, and nothing is left behind.
        let error = self.alice.client.send(self.alice.draft(&self.bob, "secret")).await.unwrap_err();
        assert_eq!(error.fault(), Fault::UntrustedKey, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!((self.alice.client.outbox_len().unwrap(), self.alice.messages().len()), (0, known));
        assert_eq!(self.unseen_alarms().len(), 1, "the same alarm is not raised twice");
    }

    /// Alice is shown an alarm about Bob with these words: as an event now, and among the alerts until she saw it.
    pub(crate) async fn is_alarmed(&mut self, says: &str) {
        let bob = self.bob.handle.clone();
        let fits = |notice: &Notice| matches!(notice, Notice::Refused { handle, reason } if *handle == bob && reason.contains(says));
        within("the alarm", async {
            loop {
                match self.events.next().await.unwrap() {
                    Event::Alert(alert) if fits(&alert.notice) => return,
                    _ => {}
                }
            }
        })
        .await;
        assert!(self.unseen_alarms().iter().any(fits), "{:?}", self.unseen_alarms());
    }

    /// Waits for an event that fits.
    pub(crate) async fn event<T>(&mut self, fits: impl FnMut(Event) -> Option<T>) -> T {
        crate::world::event(&mut self.events, fits).await
    }

    pub(crate) fn unseen_alarms(&self) -> Vec<Notice> {
        let alerts = self.alice.client.alerts().unwrap().into_iter();
        let unseen = alerts.filter(|alert| !alert.seen && matches!(alert.notice, Notice::Refused { .. }));
        unseen.map(|alert| alert.notice).collect()
    }

    pub(crate) fn see_all_alarms(&self) {
        for alert in self.alice.client.alerts().unwrap() {
            self.alice.client.mark_alert_seen(alert.id).unwrap();
        }
    }

    /// Everything that ever left Alice was sealed for a device of somebody honest, with that device's own keys.
    pub(crate) fn only_honest_devices_were_sealed_for(&self) {
        let honest = [&self.bob, &self.tablet, &self.carol, &self.mallory];
        let sent = sealed(&self.alice);
        assert!(!sent.is_empty());
        for envelope in &sent {
            let device = honest.iter().find(|device| keys_of(device).0 == envelope.push_token);
            let (_, device_key, _) = keys_of(device.expect("addressed to somebody's device"));
            assert_eq!(envelope.device_key, device_key[..2], "sealed for another device than it is addressed to");
        }
    }

    /// What a thief of a device has, or of the account key alone.
    pub(crate) fn stolen_from(device: &Device) -> (Signing, Signing) {
        let profile = device.disk.open().profile().unwrap().unwrap();
        let secret = halcyon_crypto::Secret::try_from(profile.account_key.expose()).unwrap();
        let account = SigningKey::from_secret(&secret).unwrap();
        let device = DeviceKeys::from_secret_bytes(profile.device_keys.expose()).unwrap().device;
        (Signing::StolenAccountKey(account.clone()), Signing::StolenDevice { account, device })
    }
}

/// One envelope that left, and the beginnings of the keys that it was sealed with, as suite 2 names them (PEC-12).
pub(crate) struct SealedEnvelope {
    pub(crate) push_token: Vec<u8>,
    pub(crate) device_key: [u8; 2],
    pub(crate) prekey: [u8; 2],
}

/// Returns every envelope that left a device. They are all of suite 2, since Alice switched suite 3 off.
pub(crate) fn sealed(device: &Device) -> Vec<SealedEnvelope> {
    let read = |envelope: halcyon_evil::SentEnvelope| {
        assert_eq!(envelope.suite, 2);
        let validator = envelope.payload.windows(10).find(|window| window[..3] == [0x9a, 0x06, 0x07]).unwrap();
        let [_, _, _, _, _, d0, d1, p0, p1, version] = validator else { unreachable!() };
        assert_eq!(*version, 0x0c);
        SealedEnvelope { push_token: envelope.push_token.to_vec(), device_key: [*d0, *d1], prekey: [*p0, *p1] }
    };
    device.courier.sent().into_iter().map(read).collect()
}

/// Returns push token, device key and current prekey of a device, from its own disk.
pub(crate) fn keys_of(device: &Device) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let profile = device.disk.open().profile().unwrap().unwrap();
    let keys = DeviceKeys::from_secret_bytes(profile.device_keys.expose()).unwrap();
    let token = profile.push_token.unwrap().as_bytes().to_vec();
    // Field 1 of the record: its key and length, then x.
    (token, keys.device.verifying_key().compact().as_bytes().to_vec(), keys.prekeys.record()[2..34].to_vec())
}
