//! What PostgreSQL says in a way that the parser or the planner does not know.

use std::borrow::Cow;
use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr as Logical;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, Statement, TableFactor, Value, VisitMut, VisitorMut,
    visit_expressions, visit_expressions_mut,
};
use datafusion::sql::unparser::expr_to_sql;

use pgwire::api::Type;

use super::errors::Failure;
use super::to_char;

/// Values with which a table function can be planned before its own are known: a name and two days, then anything.
const SAMPLES: [&str; 3] = ["impression_to_chat", SAMPLE, SAMPLE];
const SAMPLE: &str = "2024-01-01";

/// The text as the parser takes it.
pub(super) fn adapted(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// `to_timestamp('2024-03-04 00:00', 'YYYY-MM-DD HH24:MI')`: the library has other patterns. One with `%` is the library's.
pub(super) fn pattern(function: &mut Function) {
    let name = function.name.to_string().to_ascii_lowercase();
    if !["to_date", "to_timestamp"].contains(&name.as_str()) {
        return;
    }
    if let FunctionArguments::List(list) = &mut function.args
        && let [
            _,
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(pattern))),
        ] = list.args.as_mut_slice()
        && let Value::SingleQuotedString(text) = &mut pattern.value
        && !text.contains('%')
        && let Some(known) = to_char::for_reading(text)
    {
        *text = known;
    }
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

/// The statement with the types of lists that a client said of its parameters: the planner does not find them out.
pub(super) fn with_lists(statement: &Statement, said: &[Option<Type>]) -> Option<Statement> {
    let lists: Vec<Option<DataType>> = said
        .iter()
        .map(|kind| kind.as_ref().and_then(list_type))
        .collect();
    if lists.iter().all(Option::is_none) {
        return None;
    }
    let mut statement = statement.clone();
    let _: ControlFlow<()> = visit_expressions_mut(&mut statement, |expression| {
        // What was taken for a list of texts is what the client says.
        if let Expr::Cast {
            expr: inner,
            data_type: data_type @ DataType::Array(_),
            ..
        } = expression
            && let Expr::Cast {
                data_type: said, ..
            } = inner.as_ref()
        {
            *data_type = said.clone();
        }
        let at = placeholder(expression).and_then(|number| number.checked_sub(1));
        if let Some(Some(list)) = at.and_then(|at| lists.get(at)) {
            let inner = std::mem::replace(expression, Expr::value(Value::Null));
            *expression = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(inner),
                data_type: list.clone(),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    });
    Some(statement)
}

fn list_type(kind: &Type) -> Option<DataType> {
    let element = match *kind {
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => DataType::Text,
        Type::INT2_ARRAY => DataType::SmallInt(None),
        Type::INT4_ARRAY => DataType::Int(None),
        Type::INT8_ARRAY => DataType::BigInt(None),
        Type::FLOAT8_ARRAY => DataType::Double(ExactNumberInfo::None),
        Type::DATE_ARRAY => DataType::Date,
        _ => return None,
    };
    Some(DataType::Array(ArrayElemTypeDef::SquareBracket(
        Box::new(element),
        None,
    )))
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
