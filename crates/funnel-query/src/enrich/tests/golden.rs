//! The golden scenario.
