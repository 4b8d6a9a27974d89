//! Two people, four devices, and a real server over loopback TLS. Spec: 60-client.md, 21-linking.md, 11-directory.md.

#![allow(clippy::unwrap_used)]

mod acts;
mod attacks;
mod clock;
mod clones;
mod devices;
mod first_talk;
mod groups;
mod handles;
mod linking;
mod loss;
mod naming;
mod own;
mod previews;
mod repair;
mod scheduled;
mod world;
