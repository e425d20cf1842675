//! Lanes of tests over the whole product; see `tests/`.
