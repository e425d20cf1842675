//! Parameters of prepared statements: which type each has, and the values that a client binds.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use arrow_pg::datatypes::into_pg_type;
use bytes::Bytes;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use pgwire::api::Type;
use pgwire::api::portal::Portal;
use pgwire::error::PgWireResult;

use super::errors::Failure;
use super::prepared::Prepared;
use crate::placeholders::{PARAMETERS_MAX, wanted};

/// A parameter of a statement.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    /// What the plan wants; none where anything will do.
    pub(super) data_type: Option<DataType>,
    /// What the client sends.
    pub(super) wire: Type,
}

/// The parameters of a plan. `said` is what the client said of them.
pub(super) fn of(plan: &LogicalPlan, said: &[Option<Type>]) -> Result<Vec<Parameter>, Failure> {
    let found = wanted(plan)?;
    let count = found.keys().copied().max().unwrap_or(0).max(said.len());
    if count > PARAMETERS_MAX {
        return Err(Failure::new("54023", "a statement has too many parameters"));
    }
    let parameter = |at: usize| {
        let known = found.get(&(at + 1)).cloned().unwrap_or_default();
        let said = said.get(at).cloned().flatten();
        let said = said.filter(|kind| *kind != Type::UNKNOWN);
        let wire = match (said, known.alias, &known.data_type) {
            (Some(said), ..) => said,
            (None, Some(alias), _) => alias,
            (None, None, Some(data_type)) => into_pg_type(data_type).unwrap_or(Type::TEXT),
            (None, None, None) => Type::TEXT,
        };
        Parameter {
            data_type: known.data_type,
            wire: if wire == Type::UNKNOWN {
                Type::TEXT
            } else {
                wire
            },
        }
    };
    Ok((0..count).map(parameter).collect())
}

/// The values that were bound.
pub(super) fn values(
    portal: &Portal<Prepared>,
    parameters: &[Parameter],
) -> PgWireResult<Vec<ScalarValue>> {
    // Texts are read here, by what the plan wants; what is binary the library knows.
    let mut binary: Portal<Prepared> =
        Portal::new_cursor(String::new(), Arc::clone(&portal.statement));
    binary.parameter_format = portal.parameter_format.clone();
    binary.parameters.clone_from(&portal.parameters);
    let mut texts = Vec::new();
    for (at, parameter) in parameters.iter().enumerate() {
        let Some(slot) = binary.parameters.get_mut(at) else {
            break;
        };
        let text = match slot.as_ref() {
            Some(bytes) if portal.parameter_format.is_text(at) && is_plain(&parameter.wire) => {
                text_value(bytes, at, parameter)?
            }
            Some(bytes) => {
                if portal.parameter_format.is_text(at) && parameter.wire.name().starts_with('_') {
                    *slot = Some(without_spaces(bytes));
                }
                continue;
            }
            None => null(parameter)?,
        };
        *slot = None;
        texts.push((at, text));
    }
    let wanted: Vec<Option<&DataType>> = parameters.iter().map(|p| p.data_type.as_ref()).collect();
    let wire: Vec<Option<&Type>> = parameters.iter().map(|p| Some(&p.wire)).collect();
    let values = deserialize_parameters_with_server_types(&binary, &wanted, &wire)?;
    let ParamValues::List(values) = values else {
        return Err(Failure::internal().into());
    };
    let mut values: Vec<ScalarValue> = values.into_iter().map(|value| value.value).collect();
    for (at, text) in texts {
        if let Some(slot) = values.get_mut(at) {
            *slot = text;
        }
    }
    Ok(values)
}

/// A list as text without the spaces around its values, which mean nothing and which the library takes for a part of them.
fn without_spaces(list: &[u8]) -> Bytes {
    let mut kept = Vec::with_capacity(list.len());
    let (mut is_quoted, mut is_escaped) = (false, false);
    // So much of what is kept is no space at an end.
    let mut solid = 0;
    for byte in list {
        let starts = kept.last().is_none_or(|last| matches!(last, b'{' | b','));
        if !is_quoted && byte.is_ascii_whitespace() && !is_escaped {
            if !(starts && solid == kept.len()) {
                kept.push(*byte);
            }
            continue;
        }
        if !is_quoted && !is_escaped && matches!(byte, b',' | b'}') {
            kept.truncate(solid);
        }
        kept.push(*byte);
        solid = kept.len();
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    kept.truncate(solid);
    kept.into()
}

/// Are its texts those that the engine reads?
fn is_plain(kind: &Type) -> bool {
    matches!(
        *kind,
        Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::NUMERIC
            | Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
            | Type::UUID
            | Type::JSON
            | Type::JSONB
            | Type::DATE
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::OID
    )
}

fn null(parameter: &Parameter) -> Result<ScalarValue, Failure> {
    let data_type = parameter.data_type.clone().unwrap_or(DataType::Utf8);
    ScalarValue::try_from(&data_type).map_err(Failure::from)
}

fn text_value(bytes: &[u8], at: usize, parameter: &Parameter) -> Result<ScalarValue, Failure> {
    let wrong = |text: &str, wanted: &str| {
        Failure::new(
            "22P02",
            format!(
                "invalid input for parameter ${}: \"{text}\" is no {wanted}",
                at + 1
            ),
        )
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Failure::new("22021", format!("parameter ${} is not UTF-8", at + 1)))?;
    let target = match &parameter.data_type {
        Some(data_type) => data_type.clone(),
        None => natural(&parameter.wire),
    };
    if target.is_string() {
        return Ok(ScalarValue::Utf8(Some(text.to_owned())));
    }
    // A moment where the plan wants a day is a moment: it is compared as such.
    let target = match (&parameter.wire, &target) {
        (kind, DataType::Date32) if [Type::TIMESTAMP, Type::TIMESTAMPTZ].contains(kind) => {
            natural(kind)
        }
        _ => target,
    };
    let mut trimmed = text.trim().to_owned();
    if target == DataType::Date32 {
        // pgjdbc writes a zone behind the day.
        trimmed.truncate(trimmed.find([' ', 'T']).unwrap_or(trimmed.len()));
    }
    ScalarValue::Utf8(Some(trimmed))
        .cast_to(&target)
        .map_err(|_| wrong(text, parameter.wire.name()))
}

/// The type of the engine that is nearest to one of PostgreSQL.
fn natural(kind: &Type) -> DataType {
    match *kind {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 | Type::OID => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 | Type::NUMERIC => DataType::Float64,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_around_the_values_of_a_list_mean_nothing() {
        for (given, wanted) in [
            ("{a,b}", "{a,b}"),
            (r#"{"p", "f" , "t"}"#, r#"{"p","f","t"}"#),
            (" { a b , {c , d} } ", "{a b,{c,d}}"),
            (r#"{" x, \" y ", \ z}"#, r#"{" x, \" y ",\ z}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(without_spaces(given.as_bytes()), wanted, "{given}");
        }
    }
}
