//! `has_table_privilege` and its like: everything may be read, nothing written. What a caller may not see is not there at all.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::functions::{answer, texts};

const KINDS: [&str; 9] = [
    "any_column",
    "column",
    "database",
    "function",
    "schema",
    "sequence",
    "table",
    "tablespace",
    "type",
];
const READING: [&str; 4] = ["connect", "execute", "select", "usage"];

pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    KINDS.iter().map(|kind| {
        ScalarUDF::new_from_impl(HasPrivilege {
            name: format!("has_{kind}_privilege"),
            signature: Signature::variadic_any(Volatility::Stable),
        })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HasPrivilege {
    name: String,
    signature: Signature,
}

impl ScalarUDFImpl for HasPrivilege {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        if (2..=4).contains(&arguments.len()) {
            return Ok(DataType::Boolean);
        }
        plan_err!("{} takes a name and what may be done with it", self.name)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let asked = texts(&arguments, arguments.args.len().saturating_sub(1))?;
        let held: BooleanArray = as_string_array(&asked)?
            .iter()
            .map(|privileges| privileges.map(is_held))
            .collect();
        answer(Arc::new(held), &arguments)
    }
}

/// One of the privileges of a list is enough.
fn is_held(privileges: &str) -> bool {
    privileges
        .split(',')
        .any(|one| READING.contains(&one.trim().to_ascii_lowercase().as_str()))
}
