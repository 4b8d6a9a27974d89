//! Alice, Bob, and the conformance suites of the ports.
