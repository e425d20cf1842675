//! `format` and `array_to_string`, as PostgreSQL has them.

use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::functions_nested::string::array_to_string_udf;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::functions::{answer, texts};

/// `format(pattern, …)` with `%s`, `%I`, `%L`, `%%`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Format {
    signature: Signature,
}

impl Format {
    pub(super) fn new() -> Self {
        Self {
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = (0..arguments.args.len()).map(|at| texts(&arguments, at));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let columns = columns.iter().map(|column| as_string_array(column));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let Some((patterns, values)) = columns.split_first() else {
            return exec_err!("format takes a pattern");
        };
        let written = (0..patterns.len()).map(|row| {
            let value =
                |column: &&StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            let values: Vec<Option<String>> = values.iter().map(value).collect();
            value(patterns)
                .map(|pattern| formatted(&pattern, &values))
                .transpose()
        });
        answer(
            Arc::new(written.collect::<Result<StringArray>>()?),
            &arguments,
        )
    }
}

/// `array_to_string`; the library has some of the lists of the catalog as texts already.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ArrayToString {
    lists: Arc<ScalarUDF>,
    signature: Signature,
}

impl ArrayToString {
    pub(super) fn new() -> Self {
        Self {
            lists: array_to_string_udf(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ArrayToString {
    fn name(&self) -> &'static str {
        "array_to_string"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [list, texts @ ..] if (1..=2).contains(&texts.len()) => {
                let texts = texts.iter().map(|_| DataType::Utf8);
                Ok(std::iter::once(list.clone()).chain(texts).collect())
            }
            _ => plan_err!(
                "array_to_string takes a list, what stands between its values, and what stands for NULL"
            ),
        }
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match arguments.args.first() {
            Some(first) if !first.data_type().is_list() => first.cast_to(&DataType::Utf8, None),
            _ => self.lists.invoke_with_args(arguments),
        }
    }
}

fn formatted(pattern: &str, values: &[Option<String>]) -> Result<String> {
    let mut written = String::with_capacity(pattern.len());
    let mut values = values.iter();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            written.push(letter);
            continue;
        }
        let kind = letters.next();
        if kind == Some('%') {
            written.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            return exec_err!("too few arguments for format()");
        };
        match (kind, value) {
            (Some('s'), value) => written.push_str(value.as_deref().unwrap_or_default()),
            (Some('I'), Some(name)) => written.push_str(&identifier(name)),
            (Some('I'), None) => {
                return exec_err!("null values cannot be formatted as an SQL identifier");
            }
            (Some('L'), Some(text)) => written.push_str(&format!("'{}'", text.replace('\'', "''"))),
            (Some('L'), None) => written.push_str("NULL"),
            _ => return exec_err!("format() knows %s, %I, %L and %%"),
        }
    }
    Ok(written)
}

/// A name, in quotes where it needs them.
fn identifier(name: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let is_plain = name.starts_with(is_word)
        && name
            .chars()
            .all(|letter| is_word(letter) || letter.is_ascii_digit());
    if is_plain {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_postgresql() {
        let values = |all: &[Option<&str>]| -> Vec<Option<String>> {
            all.iter().map(|value| value.map(str::to_owned)).collect()
        };
        for (pattern, given, wanted) in [
            (
                "%I.%I",
                vec![Some("public"), Some("Ab\"c")],
                "public.\"Ab\"\"c\"",
            ),
            ("100%% %s|%s", vec![Some("x"), None], "100% x|"),
            ("%L, %L", vec![Some("it's"), None], "'it''s', NULL"),
        ] {
            assert_eq!(formatted(pattern, &values(&given)).unwrap(), wanted);
        }
        for (pattern, given) in [("%s", vec![]), ("%I", vec![None]), ("%d", vec![Some("1")])] {
            assert!(formatted(pattern, &values(&given)).is_err(), "{pattern}");
        }
    }
}
