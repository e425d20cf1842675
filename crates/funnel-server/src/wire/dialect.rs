//! What PostgreSQL says in a way that the parser or the planner does not know.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, Statement, Value, visit_expressions_mut,
};
use pgwire::api::Type;

use super::to_char;
use crate::placeholders::placeholder;

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
