//! Texts of parameters to typed literals, and those into the parsed statement.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, TimezoneInfo, Value, visit_expressions_mut,
};

use super::{NamedQuery, Param};
use crate::error::{QueryError, Result};

/// The literal of each parameter, by name.
pub(super) fn values(
    query: &NamedQuery,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Expr>> {
    for name in given.keys() {
        if !query.params.iter().any(|param| param.name == *name) {
            let known: Vec<&str> = query
                .params
                .iter()
                .map(|param| param.name.as_str())
                .collect();
            return Err(QueryError::usage(format!(
                "the query `{}` has no parameter `{name}`; it takes: {}",
                query.name,
                known.join(", ")
            )));
        }
    }
    let mut values = BTreeMap::new();
    for param in &query.params {
        let text = given
            .get(&param.name)
            .or(param.default.as_ref())
            .ok_or_else(|| {
                QueryError::usage(format!(
                    "the query `{}` needs the parameter `{}` ({}): {}",
                    query.name, param.name, param.kind, param.help
                ))
            })?;
        values.insert(param.name.clone(), literal(query, param, text)?);
    }
    Ok(values)
}

/// The statement of the query with every placeholder replaced by its literal.
pub(super) fn statement(
    ctx: &SessionContext,
    query: &NamedQuery,
    values: &BTreeMap<String, Expr>,
) -> Result<Statement> {
    let state = ctx.state();
    let dialect = state.config().options().sql_parser.dialect;
    let parsed = state
        .sql_to_statement(&query.sql, &dialect)
        .map_err(|source| {
            QueryError::query(
                format!("could not parse the query `{}`", query.name),
                source,
            )
        })?;
    let Statement::Statement(mut statement) = parsed else {
        return Err(QueryError::usage(format!(
            "the query `{}` is not a SELECT",
            query.name
        )));
    };
    let outcome = visit_expressions_mut(&mut statement, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(placeholder) = &value.value
        {
            let name = placeholder.trim_start_matches('$').to_owned();
            match values.get(&name) {
                Some(literal) => *expr = literal.clone(),
                None => return ControlFlow::Break(name),
            }
        }
        ControlFlow::Continue(())
    });
    match outcome {
        ControlFlow::Continue(()) => Ok(Statement::Statement(statement)),
        ControlFlow::Break(name) => Err(QueryError::usage(format!(
            "the query `{}` uses `${name}` without declaring it",
            query.name
        ))),
    }
}

fn literal(query: &NamedQuery, param: &Param, text: &str) -> Result<Expr> {
    if text == "NULL" && param.default.as_deref() == Some("NULL") {
        return Ok(cast(Value::Null, sql_type(&param.kind)));
    }
    let wrong = |expected: &str| {
        QueryError::usage(format!(
            "parameter `{}` of the query `{}`: `{text}` is not {expected}",
            param.name, query.name
        ))
    };
    let quoted = || Value::SingleQuotedString(text.to_owned());
    match param.kind.as_str() {
        "TEXT" => Ok(Expr::Value(quoted().into())),
        "DATE" => {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| wrong("a date YYYY-MM-DD"))?;
            Ok(cast(quoted(), sql_type("DATE")))
        }
        "TIMESTAMP" => {
            let time = DateTime::parse_from_rfc3339(text)
                .map_err(|_| wrong("a time like 2024-03-04T12:00:00Z"))?;
            let text = time.to_utc().to_rfc3339();
            Ok(cast(Value::SingleQuotedString(text), sql_type("TIMESTAMP")))
        }
        "BIGINT" => {
            let number: i64 = text.parse().map_err(|_| wrong("a whole number"))?;
            Ok(Expr::Value(Value::Number(number.to_string(), false).into()))
        }
        "DOUBLE" => {
            let number: f64 = text.parse().map_err(|_| wrong("a number"))?;
            if !number.is_finite() {
                return Err(wrong("a finite number"));
            }
            Ok(cast(
                Value::Number(number.to_string(), false),
                sql_type("DOUBLE"),
            ))
        }
        "BOOLEAN" => match text {
            "true" => Ok(Expr::Value(Value::Boolean(true).into())),
            "false" => Ok(Expr::Value(Value::Boolean(false).into())),
            _ => Err(wrong("true or false")),
        },
        choices if choices.split('|').any(|choice| choice == text) => {
            Ok(Expr::Value(quoted().into()))
        }
        choices => Err(wrong(&format!("one of {}", choices.replace('|', ", ")))),
    }
}

fn cast(value: Value, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(value.into())),
        data_type,
        array: false,
        format: None,
    }
}

fn sql_type(kind: &str) -> DataType {
    match kind {
        "DATE" => DataType::Date,
        "TIMESTAMP" => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        "BIGINT" => DataType::BigInt(None),
        "DOUBLE" => DataType::Double(ExactNumberInfo::None),
        "BOOLEAN" => DataType::Boolean,
        _ => DataType::Varchar(None),
    }
}
