//! Parameters in a statement and in its plan.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use arrow_pg::datatypes::{PG_OID_ALIAS_KEY, pg_type_for_alias_kind};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr as Logical, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Statement, TableFactor, Value, VisitMut, VisitorMut,
    visit_expressions, visit_expressions_mut,
};
use datafusion::sql::unparser::expr_to_sql;
use pgwire::api::Type;

use crate::failure::Failure;

/// Parameters that a statement may have, as in PostgreSQL.
pub(crate) const PARAMETERS_MAX: usize = 65_535;

/// Values with which a table function can be planned before its own are known: a name and two days, then anything.
const SAMPLES: [&str; 3] = ["impression_to_chat", SAMPLE, SAMPLE];
const SAMPLE: &str = "2024-01-01";

/// Table functions are planned with their arguments, which must be known then. The statement with samples where a
/// parameter is one; none if no parameter is.
pub(crate) fn sampled(statement: &Statement) -> Option<Statement> {
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
pub(crate) fn bound(statement: &Statement, values: &[ScalarValue]) -> Result<Statement, Failure> {
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

/// What a plan says of a parameter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) data_type: Option<DataType>,
    /// PostgreSQL's kind of identifier that it is compared with.
    pub(crate) alias: Option<Type>,
}

/// What a plan says of its parameters, by their numbers.
pub(crate) fn wanted(plan: &LogicalPlan) -> Result<HashMap<usize, Wanted>, Failure> {
    let mut found: HashMap<usize, Wanted> = HashMap::new();
    for (name, data_type) in plan.get_parameter_types()? {
        let wanted = Wanted {
            data_type,
            alias: None,
        };
        found.insert(number(&name)?, wanted);
    }
    plan.apply_with_subqueries(|node| {
        // How many rows is a number, which the library leaves open.
        if let LogicalPlan::Limit(limit) = node {
            for count in [&limit.skip, &limit.fetch].into_iter().flatten() {
                if let Logical::Placeholder(placeholder) = count.as_ref()
                    && let Ok(at) = number(&placeholder.id)
                {
                    found.entry(at).or_default().data_type = Some(DataType::Int64);
                }
            }
        }
        for expression in node.expressions() {
            expression.apply(|expression| {
                if let Some((name, data_type, alias)) = described(expression)
                    && let Ok(at) = number(name)
                {
                    let wanted = found.entry(at).or_default();
                    wanted.data_type = wanted.data_type.take().or(data_type);
                    wanted.alias = wanted.alias.take().or(alias);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// What an expression says of the parameter that it is, or casts.
fn described(expression: &Logical) -> Option<(&str, Option<DataType>, Option<Type>)> {
    let alias = |placeholder: &Placeholder| {
        let field = placeholder.field.as_deref()?;
        let kind = field.metadata().get(PG_OID_ALIAS_KEY)?;
        pg_type_for_alias_kind(kind).filter(|_| *field.data_type() == DataType::Int32)
    };
    match expression {
        Logical::Placeholder(placeholder) => Some((&placeholder.id, None, alias(placeholder))),
        Logical::Cast(cast) => match cast.expr.as_ref() {
            Logical::Placeholder(placeholder) => {
                let data_type = cast.field.data_type().clone();
                Some((&placeholder.id, Some(data_type), alias(placeholder)))
            }
            _ => None,
        },
        _ => None,
    }
}

fn number(name: &str) -> Result<usize, Failure> {
    let number = name
        .strip_prefix('$')
        .and_then(|digits| digits.parse().ok());
    number
        .filter(|number| (1..=PARAMETERS_MAX).contains(number))
        .ok_or_else(|| {
            Failure::new(
                "42P02",
                format!("there is no parameter {name}: write $1, $2 and so on"),
            )
        })
}

/// The highest number of a parameter.
pub(crate) fn highest(statement: &Statement) -> usize {
    let mut highest = 0;
    let _: ControlFlow<()> = visit_expressions(statement, |expression| {
        highest = placeholder(expression).unwrap_or(0).max(highest);
        ControlFlow::Continue(())
    });
    highest
}

/// The number of a parameter, if it is one.
pub(crate) fn placeholder(expression: &Expr) -> Option<usize> {
    let Expr::Value(value) = expression else {
        return None;
    };
    let Value::Placeholder(name) = &value.value else {
        return None;
    };
    name.strip_prefix('$')?.parse().ok()
}
