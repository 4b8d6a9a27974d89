//! RSA-1280 over aws-lc for the suite pair: the one crate with unsafe code.
