//! What PostgreSQL says in a way that the parser or the planner does not know.

use std::borrow::Cow;
use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr as Logical;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Statement, TableFactor, Value, VisitMut, VisitorMut,
    visit_expressions, visit_expressions_mut,
};
use datafusion::sql::unparser::expr_to_sql;

use super::errors::Failure;

/// Values with which a table function can be planned before its own are known: a name and two days, then anything.
const SAMPLES: [&str; 3] = ["impression_to_chat", "2024-01-01", "2024-01-01"];
const SAMPLE: &str = "0";

/// The text as the parser takes it.
pub(super) fn adapted(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// Table functions are planned with their arguments, which must be known then. The statement with samples where a
/// parameter is one; none if no parameter is.
pub(super) fn sampled(statement: &Statement) -> Option<Statement> {
    let mut statement = statement.clone();
    let mut samples = Samples(false);
    // Nothing breaks off.
    let _: ControlFlow<()> = statement.visit(&mut samples);
    samples.0.then_some(statement)
}

/// Were there any?
struct Samples(bool);

impl VisitorMut for Samples {
    type Break = ();

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        let arguments = match table {
            TableFactor::Table {
                args: Some(arguments),
                ..
            } => &mut arguments.args,
            TableFactor::Function { args, .. } => args,
            _ => return ControlFlow::Continue(()),
        };
        for (at, argument) in arguments.iter_mut().enumerate() {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
                continue;
            };
            let sample = SAMPLES.get(at).copied().unwrap_or(SAMPLE);
            let _: ControlFlow<()> = visit_expressions_mut(argument, |expression| {
                if placeholder(expression).is_some() {
                    self.0 = true;
                    *expression = Expr::value(Value::SingleQuotedString(sample.to_owned()));
                }
                ControlFlow::Continue(())
            });
        }
        ControlFlow::Continue(())
    }
}

/// The statement with its values where the parameters were: as literals of their types, never as text.
pub(super) fn bound(statement: &Statement, values: &[ScalarValue]) -> Result<Statement, Failure> {
    let mut statement = statement.clone();
    let outcome = visit_expressions_mut(&mut statement, |expression| {
        let Some(number) = placeholder(expression) else {
            return ControlFlow::Continue(());
        };
        let value = number.checked_sub(1).and_then(|at| values.get(at));
        let Some(value) = value else {
            let message = format!("there is no parameter ${number}");
            return ControlFlow::Break(Failure::new("42P02", message));
        };
        match expr_to_sql(&Logical::Literal(value.clone(), None)) {
            Ok(literal) => {
                *expression = literal;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error.into()),
        }
    });
    match outcome {
        ControlFlow::Continue(()) => Ok(statement),
        ControlFlow::Break(failure) => Err(failure),
    }
}

/// The highest number of a parameter.
pub(super) fn parameters(statement: &Statement) -> usize {
    let mut highest = 0;
    let _: ControlFlow<()> = visit_expressions(statement, |expression| {
        highest = placeholder(expression).unwrap_or(0).max(highest);
        ControlFlow::Continue(())
    });
    highest
}

/// The number of a parameter, if it is one.
fn placeholder(expression: &Expr) -> Option<usize> {
    let Expr::Value(value) = expression else {
        return None;
    };
    let Value::Placeholder(name) = &value.value else {
        return None;
    };
    name.strip_prefix('$')?.parse().ok()
}
