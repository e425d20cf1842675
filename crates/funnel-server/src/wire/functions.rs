//! Functions that PostgreSQL has and clients ask for.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, StringArray, new_empty_array};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use datafusion::common::cast::as_string_array;
use datafusion::common::{ScalarValue, exec_datafusion_err, exec_err, not_impl_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, create_udf,
};
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog as library;

use super::settings::Settings;
use super::{SERVER_VERSION, catalog, privileges, procedures, text, to_char};

/// What functions tell of the connection.
pub(super) struct Known<'a> {
    pub(super) database: &'a str,
    pub(super) user: &'a str,
    pub(super) pid: i32,
    pub(super) settings: &'a Arc<Mutex<Settings>>,
    pub(super) views: &'a catalog::Views,
}

pub(super) fn register(ctx: &SessionContext, known: &Known<'_>) {
    for function in of_the_library().into_iter().chain(own(known)) {
        ctx.register_udf(function);
    }
    if let Some(keywords) = catalog::keywords() {
        ctx.register_udtf("pg_get_keywords", keywords);
    }
    library::generate_series_arg_coercion::CoerceIntArgsToBigInt::widen(ctx);
}

fn of_the_library() -> Vec<ScalarUDF> {
    vec![
        library::create_current_schemas_udf(),
        library::create_pg_table_is_visible(),
        library::format_type::create_format_type_udf(),
        library::pg_get_expr_udf::create_pg_get_expr_udf(),
        library::create_pg_get_partkeydef_udf(),
        library::create_pg_relation_is_publishable_udf(),
        library::create_pg_get_statisticsobjdef_columns_udf(),
        library::create_pg_encoding_to_char_udf(),
        library::create_pg_relation_size_udf(),
        library::create_pg_total_relation_size_udf(),
        library::create_pg_stat_get_numscans(),
        library::create_pg_get_constraintdef(),
        library::create_pg_get_partition_ancestors_udf(),
        library::quote_ident_udf::create_quote_ident_udf(),
        library::quote_ident_udf::create_parse_ident_udf(),
        library::array_bounds_udf::create_array_upper_udf(),
        library::array_bounds_udf::create_array_lower_udf(),
    ]
}

fn own(known: &Known<'_>) -> Vec<ScalarUDF> {
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
    let none = || ScalarValue::Utf8(None);
    let version = format!(
        "PostgreSQL {SERVER_VERSION} (funnel {}, DataFusion)",
        env!("CARGO_PKG_VERSION")
    );
    let mut functions = vec![
        fixed("version", text(&version)),
        fixed("getdatabaseencoding", text("UTF8")),
        fixed("current_database", text(known.database)),
        fixed("current_catalog", text(known.database)),
        fixed("current_schema", text(catalog::SCHEMA)),
        fixed("current_user", text(known.user)),
        fixed("session_user", text(known.user)),
        fixed("pg_get_userbyid", text(known.user)),
        fixed("pg_backend_pid", ScalarValue::Int32(Some(known.pid))),
        // There are no temporary tables.
        fixed("pg_my_temp_schema", ScalarValue::Int32(Some(0))),
        fixed("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
        fixed("pg_char_to_encoding", ScalarValue::Int32(Some(6))),
        fixed("pg_get_serial_sequence", none()),
        fixed("pg_advisory_unlock_all", none()),
        fixed("to_regtype", ScalarValue::Int32(None)),
        fixed("to_regclass", ScalarValue::Int32(None)),
        fixed("to_regproc", ScalarValue::Int32(None)),
        fixed("to_regnamespace", ScalarValue::Int32(None)),
        fixed("txid_current", ScalarValue::Int64(Some(1))),
        fixed("inet_server_addr", none()),
        fixed("inet_client_addr", none()),
        fixed("inet_server_port", ScalarValue::Int32(None)),
        ScalarUDF::new_from_impl(CurrentSetting {
            signature: Signature::variadic_any(Volatility::Stable),
            settings: Shared(Arc::clone(known.settings)),
        }),
        ScalarUDF::new_from_impl(SetConfig {
            signature: Signature::exact(
                vec![DataType::Utf8, DataType::Utf8, DataType::Boolean],
                Volatility::Volatile,
            ),
            settings: Shared(Arc::clone(known.settings)),
        }),
        ScalarUDF::new_from_impl(to_char::ToChar::new()),
        ScalarUDF::new_from_impl(ViewDefinition {
            signature: Signature::variadic_any(Volatility::Stable),
            views: Shared(Arc::clone(known.views)),
        }),
    ];
    functions.extend(about_the_catalog());
    functions
}

/// What is the same for every connection.
fn about_the_catalog() -> Vec<ScalarUDF> {
    let none = || ScalarValue::Utf8(None);
    let mut functions = Vec::new();
    let visible = [
        "type",
        "function",
        "operator",
        "collation",
        "conversion",
        "opclass",
        "opfamily",
        "statistics_obj",
        "ts_config",
        "ts_dict",
        "ts_parser",
        "ts_template",
    ];
    functions.extend(visible.map(|kind| {
        fixed(
            &format!("pg_{kind}_is_visible"),
            ScalarValue::Boolean(Some(true)),
        )
    }));
    functions.extend(privileges::functions());
    functions.extend([
        of_procedure("pg_get_function_result", |(.., result)| result),
        of_procedure("pg_get_function_arguments", |(_, _, arguments, _)| {
            arguments
        }),
        of_procedure(
            "pg_get_function_identity_arguments",
            |(_, _, arguments, _)| arguments,
        ),
    ]);
    let sizes = ["database", "indexes", "table", "tablespace"];
    functions.extend(sizes.map(|kind| fixed(&format!("pg_{kind}_size"), ScalarValue::Int64(None))));
    let key = Fields::from(vec![
        Field::new("x", DataType::Int16, true),
        Field::new("n", DataType::Int32, true),
    ]);
    functions.extend([
        absent("json_build_object", DataType::Utf8),
        absent("generate_subscripts", DataType::Int32),
        absent("_pg_expandarray", DataType::Struct(key)),
        ScalarUDF::new_from_impl(text::ArrayToString::new()),
        ScalarUDF::new_from_impl(text::Format::new()),
    ]);
    // There are no remarks, indexes, rules and triggers here.
    let nothing = [
        "obj_description",
        "col_description",
        "shobj_description",
        "pg_get_indexdef",
        "pg_get_ruledef",
        "pg_get_triggerdef",
        "pg_get_functiondef",
        "pg_get_function_sqlbody",
        "pg_describe_object",
        "pg_tablespace_location",
        "pg_size_pretty",
    ];
    functions.extend(nothing.map(|name| fixed(name, none())));
    functions
}

/// A function that tells of one of ours by its identifier; of others it knows nothing.
fn of_procedure(name: &str, pick: fn(&procedures::Function) -> &'static str) -> ScalarUDF {
    let told = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let [oids] = arrays.as_slice() else {
            return exec_err!("it takes the identifier of a function");
        };
        let oids = oids.as_primitive::<Int32Type>().iter();
        let texts: StringArray = oids
            .map(|oid| oid.and_then(procedures::by_oid).map(pick))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    };
    create_udf(
        name,
        vec![DataType::Int32],
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(told),
    )
}

/// A function that says the same whatever it is asked.
fn fixed(name: &str, value: ScalarValue) -> ScalarUDF {
    ScalarUDF::new_from_impl(Fixed {
        name: name.to_owned(),
        signature: Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::VariadicAny,
            ],
            Volatility::Stable,
        ),
        value,
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Fixed {
    name: String,
    signature: Signature,
    value: ScalarValue,
}

impl ScalarUDFImpl for Fixed {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// A function that statements of clients name, over tables in which there is nothing. It has no value.
fn absent(name: &str, result: DataType) -> ScalarUDF {
    ScalarUDF::new_from_impl(Absent {
        name: name.to_owned(),
        signature: Signature::variadic_any(Volatility::Volatile),
        result,
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Absent {
    name: String,
    signature: Signature,
    result: DataType,
}

impl ScalarUDFImpl for Absent {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if arguments.number_rows > 0 {
            return not_impl_err!("{} is not known here", self.name);
        }
        Ok(ColumnarValue::Array(new_empty_array(&self.result)))
    }
}

/// What belongs to the connection; the same for itself only.
#[derive(Debug, Clone)]
struct Shared<T>(Arc<Mutex<T>>);

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// `current_setting(name [, missing_ok])`
#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    signature: Signature,
    settings: Shared<Settings>,
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &'static str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [_] | [_, _] => Ok(DataType::Utf8),
            _ => exec_err!("current_setting takes a name, and whether it may be missing"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let missing_ok = matches!(
            arguments.args.get(1),
            Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
        );
        let names = texts(&arguments, 0)?;
        let names = as_string_array(&names)?;
        let settings = self
            .settings
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let values: Result<StringArray> = names
            .iter()
            .map(|name| {
                let Some(name) = name else { return Ok(None) };
                match settings.get(name) {
                    Some((_, value)) => Ok(Some(value.to_owned())),
                    None if missing_ok => Ok(None),
                    None => exec_err!("unrecognized configuration parameter \"{name}\""),
                }
            })
            .collect();
        answer(Arc::new(values?), &arguments)
    }
}

/// `set_config(name, value, is_local)`
#[derive(Debug, PartialEq, Eq, Hash)]
struct SetConfig {
    signature: Signature,
    settings: Shared<Settings>,
}

impl ScalarUDFImpl for SetConfig {
    fn name(&self) -> &'static str {
        "set_config"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (names, values) = (texts(&arguments, 0)?, texts(&arguments, 1)?);
        let pairs = as_string_array(&names)?
            .iter()
            .zip(as_string_array(&values)?);
        let mut settings = self
            .settings
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let set: Result<StringArray> = pairs
            .map(|(name, value)| {
                let (Some(name), Some(value)) = (name, value) else {
                    return Ok(None);
                };
                settings
                    .set(name, value)
                    .map_err(|failure| exec_datafusion_err!("{}", failure.message))?;
                Ok(settings.get(name).map(|(_, value)| value.to_owned()))
            })
            .collect();
        answer(Arc::new(set?), &arguments)
    }
}

/// `pg_get_viewdef(view [, pretty])`
#[derive(Debug, PartialEq, Eq, Hash)]
struct ViewDefinition {
    signature: Signature,
    views: Shared<HashMap<i32, String>>,
}

impl ScalarUDFImpl for ViewDefinition {
    fn name(&self) -> &'static str {
        "pg_get_viewdef"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let views = texts(&arguments, 0)?;
        let known = self.views.0.lock().unwrap_or_else(PoisonError::into_inner);
        let definitions: StringArray = as_string_array(&views)?
            .iter()
            .map(|view| known.get(&view?.parse().ok()?).cloned())
            .collect();
        answer(Arc::new(definitions), &arguments)
    }
}

/// An argument as texts.
pub(super) fn texts(arguments: &ScalarFunctionArgs, at: usize) -> Result<ArrayRef> {
    let Some(argument) = arguments.args.get(at) else {
        return exec_err!("an argument is missing");
    };
    let rows = if arguments
        .args
        .iter()
        .all(|one| matches!(one, ColumnarValue::Scalar(_)))
    {
        1
    } else {
        arguments.number_rows
    };
    let array = argument.to_array(rows)?;
    Ok(arrow::compute::cast(&array, &DataType::Utf8)?)
}

/// One value where all arguments are constants.
pub(super) fn answer(array: ArrayRef, arguments: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    if arguments
        .args
        .iter()
        .all(|one| matches!(one, ColumnarValue::Scalar(_)))
    {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
            &array, 0,
        )?));
    }
    Ok(ColumnarValue::Array(array))
}
