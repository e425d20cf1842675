//! The contract of records: schemas, examples and decoder say the same.

// `cfg(test)` tells clippy that the helpers are test code too.
#[cfg(test)]
mod support;

#[cfg(test)]
mod builders;
#[cfg(test)]
mod definitions;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod robustness;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod schemas;
