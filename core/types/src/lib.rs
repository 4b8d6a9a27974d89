//! The vocabulary: handles, ids, tokens, topics and times as types.
