//! The single place that makes a session know our functions.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

use crate::{local_time, udaf};

/// The aggregate functions of this crate.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    vec![
        udaf::window_funnel(),
        udaf::funnel_match(),
        udaf::funnel_steps(),
    ]
}

/// The scalar functions of this crate.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    vec![local_time::local_date(), local_time::local_hour()]
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
