//! What must not work in `pq3`, step by step, from outside: what is on a disk, what is on the wire, and who has which key.

mod bits;
mod by_hand;
mod clones;
mod floods;
mod forward_secrecy;
mod healing;
mod identity;
mod looks;
mod model;
mod phones;
mod repair;
mod repair_model;
mod sizes;
mod starts;
mod stored;
mod thief;
