//! The single place that makes a session know our functions.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

use crate::local_time;
use crate::plan::{NullsInOrders, SortedFunnels, SortedMerges, YieldingJoins};
use crate::udaf::{self, CheckCalls};

/// The aggregate functions of this crate.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    vec![
        udaf::window_funnel(),
        udaf::funnel_match(),
        udaf::funnel_steps(),
        udaf::funnel_state(),
        udaf::funnel_merge(),
        udaf::sequence_match(),
        udaf::sequence_count(),
        udaf::retention(),
    ]
}

/// The scalar functions of this crate.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    vec![
        udaf::funnel_level(),
        local_time::local_date(),
        local_time::local_hour(),
    ]
}

/// Registers every function of this crate with `session`, the rule that checks their arguments
/// while a query is planned, and those that stream sorted input. Doing it twice changes nothing.
pub fn register_all(session: &SessionContext) {
    let is_known = session
        .state()
        .analyzer()
        .rules
        .iter()
        .any(|rule| rule.name() == CheckCalls.name());
    if !is_known {
        session.add_analyzer_rule(Arc::new(CheckCalls));
        // There is no method for this kind of rule.
        let state = session.state();
        let mut rules = state.physical_optimizers().to_vec();
        let check = rules
            .iter()
            .position(|rule| rule.name() == SortedMerges::BEFORE);
        rules.insert(check.unwrap_or(rules.len()), Arc::new(SortedMerges));
        rules.insert(0, Arc::new(NullsInOrders));
        rules.push(Arc::new(SortedFunnels));
        rules.push(Arc::new(YieldingJoins));
        let with_rules = SessionStateBuilder::new_from_existing(state)
            .with_physical_optimizer_rules(rules)
            .build();
        *session.state_ref().write() = with_rules;
    }
    for function in aggregate_functions() {
        session.register_udaf(function);
    }
    for function in scalar_functions() {
        session.register_udf(function);
    }
}
