//! The funnel algorithm as a pure state machine over plain slices.
