//! What is done to a physical plan with calls of funnel functions.

mod ranges;
mod sorted;
mod unsorted;

pub(crate) use sorted::SortedFunnels;
