//! The single place that makes a session know our functions.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

/// The aggregate functions of this crate.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    Vec::new()
}

/// The scalar functions of this crate.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    Vec::new()
}

/// Registers every function of this crate with `session`. Doing it twice changes nothing.
pub fn register_all(session: &SessionContext) {
    for function in aggregate_functions() {
        session.register_udaf(function);
    }
    for function in scalar_functions() {
        session.register_udf(function);
    }
}
