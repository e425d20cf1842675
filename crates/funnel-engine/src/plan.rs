//! What is done to a physical plan with calls of funnel functions, to plans that would be refused, and to those that could not
//! be stopped.

mod merges;
mod nulls;
mod ranges;
mod sorted;
mod unsorted;
mod views;
mod yielding;

pub(crate) use merges::SortedMerges;
pub(crate) use nulls::NullsInOrders;
pub(crate) use sorted::SortedFunnels;
pub(crate) use yielding::YieldingJoins;
