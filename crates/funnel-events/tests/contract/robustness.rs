//! Totality.
