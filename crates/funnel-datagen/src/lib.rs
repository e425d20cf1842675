//! Seeded traffic simulator with its ground truth.
