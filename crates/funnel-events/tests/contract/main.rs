//! The contract of records: schemas, examples and decoder say the same.

mod support;

mod builders;
mod identity;
mod privacy;
mod robustness;
mod samples;
mod schemas;
