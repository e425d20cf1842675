//! What is done to a physical plan with calls of funnel functions.

mod ranges;
mod sorted;

pub(crate) use sorted::SortedFunnels;
