//! The contract of records: schemas, examples and decoder say the same.

mod support;

mod builders;
mod robustness;
mod samples;
mod schemas;
