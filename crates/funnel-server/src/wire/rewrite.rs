//! Expressions of PostgreSQL that the planner does not know, as others that mean the same.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart, Query,
    SelectItem, SetExpr, Statement, TableAlias, TableAliasColumnDef, TableFactor, Value,
    ValueWithSpan, VisitMut, VisitorMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::catalog::SYSTEM_SCHEMA;
use super::dialect;
use super::tables::ADDED;

/// What the planner takes a backslash for in a pattern.
const ESCAPE: char = '\\';

pub(super) fn rewritten(statement: &mut Statement) {
    // Nothing breaks off.
    let _: ControlFlow<()> = statement.visit(&mut Selects);
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expression| {
        if let Some(other) = replacement(expression) {
            *expression = other;
        }
        ControlFlow::Continue(())
    });
}

/// What stands for the expression, if it is not changed in place.
fn replacement(expression: &mut Expr) -> Option<Expr> {
    match expression {
        Expr::Like {
            pattern,
            escape_char,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            ..
        } => {
            let escape = one_char(&escape_char.as_ref()?.value)?;
            escaped(pattern, escape);
            *escape_char = None;
            None
        }
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => {
            if is_day_with_zone(text) {
                text.truncate(DAY);
            }
            None
        }
        Expr::Subquery(query) if is_over_nothing(query) => Some(Expr::value(Value::Null)),
        Expr::Subquery(query) => {
            first_of_catalog(query);
            None
        }
        Expr::Function(function) => {
            list_of_any(function);
            dialect::pattern(function);
            array_of_query(function).or_else(|| at_time_zone(function))
        }
        Expr::BinaryOp { left, right, .. } => {
            by_name(left, right);
            None
        }
        Expr::Identifier(name) if is_table_of_row(name) => Some(no_table()),
        Expr::CompoundIdentifier(parts) if parts.last().is_some_and(is_table_of_row) => {
            Some(no_table())
        }
        Expr::CompoundFieldAccess { root, access_chain } => field_of(root, access_chain),
        Expr::Cast {
            expr,
            data_type: DataType::Regclass,
            ..
        } if matches!(expr.as_ref(), Expr::Function(_)) => identifier_of(expr),
        _ => None,
    }
}

/// Columns of `pg_type` that have the name of a function here, and its identifier in PostgreSQL.
const FUNCTIONS_OF_TYPES: [&str; 4] = ["typinput", "typoutput", "typreceive", "typsend"];
/// Their text where there is no function.
const NO_FUNCTION: &str = "-";

/// `typinput = 'array_in'::regproc`, `typreceive <> 0`
fn by_name(left: &Expr, right: &mut Expr) {
    let column = left.to_string().to_ascii_lowercase();
    let column = column.rsplit('.').next().unwrap_or_default();
    if !FUNCTIONS_OF_TYPES.contains(&column) {
        return;
    }
    let right_text = right.to_string();
    let name = if right_text == "0" {
        NO_FUNCTION
    } else if right_text.contains("array_in") {
        "array_in"
    } else {
        return;
    };
    *right = Expr::value(Value::SingleQuotedString(name.to_owned()));
}

/// `tableoid`: what is remarked of a row is looked up by it, and nothing is.
fn is_table_of_row(name: &Ident) -> bool {
    name.quote_style.is_none() && name.value.eq_ignore_ascii_case("tableoid")
}

fn no_table() -> Expr {
    Expr::value(Value::Number("0".to_owned(), false))
}

/// Letters of a day such as 2024-03-04.
const DAY: usize = 10;

/// A day as pgjdbc writes it: `2024-03-04 +00`.
fn is_day_with_zone(text: &str) -> bool {
    let Some((day, zone)) = text.split_once(' ') else {
        return false;
    };
    let is_zone = zone.starts_with(['+', '-'])
        && (3..=6).contains(&zone.len())
        && zone
            .bytes()
            .skip(1)
            .all(|b| b.is_ascii_digit() || b == b':');
    day.len() == DAY && is_zone && day.parse::<chrono::NaiveDate>().is_ok()
}

/// Tables of PostgreSQL's catalog need no schema: the library knows its own, here are ours.
struct Selects;

impl VisitorMut for Selects {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(name)] = relation.0.as_slice()
            && ADDED.contains(&name.value.to_ascii_lowercase().as_str())
        {
            *relation = ObjectName::from(vec![Ident::new(SYSTEM_SCHEMA), name.clone()]);
        }
        ControlFlow::Continue(())
    }

    /// The planner takes names of table functions as they are written.
    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        let name = match table {
            TableFactor::UNNEST {
                alias, array_exprs, ..
            } => {
                unnested(alias.as_mut(), array_exprs);
                return ControlFlow::Continue(());
            }
            TableFactor::Derived {
                lateral, subquery, ..
            } => {
                *lateral = *lateral && !of_no_partitions(subquery);
                return ControlFlow::Continue(());
            }
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => name,
            _ => return ControlFlow::Continue(()),
        };
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(word) = part
                && word.quote_style.is_none()
            {
                word.value.make_ascii_lowercase();
            }
        }
        ControlFlow::Continue(())
    }
}

/// What is asked of the partitions of a table has no values, and no longer needs the table: there are none.
fn of_no_partitions(query: &mut Query) -> bool {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return false;
    };
    let is_about_them = select.from.iter().any(|from| {
        let name = from.relation.to_string().to_ascii_lowercase();
        name.contains("pg_partition_tree(")
    });
    if is_about_them {
        select.from.clear();
        for item in &mut select.projection {
            if let SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) = item {
                *expr = Expr::value(Value::Null);
            }
        }
    }
    is_about_them
}

/// Lists of columns that make up a key or an index.
const KEYS: [&str; 3] = ["conkey", "confkey", "indkey"];

/// The name of `unnest(…)` is also that of its column. There are no keys whose columns it could give, and the planner does
/// not take lists out of the table before.
fn unnested(alias: Option<&mut TableAlias>, lists: &mut [Expr]) {
    let [list] = lists else { return };
    let text = list.to_string().to_ascii_lowercase();
    if text
        .rsplit('.')
        .next()
        .is_some_and(|name| KEYS.contains(&name))
    {
        *list = list_of(Expr::value(Value::Null), DataType::SmallInt(None));
    }
    if let Some(alias) = alias
        && alias.columns.is_empty()
    {
        alias.columns.push(TableAliasColumnDef {
            name: alias.name.clone(),
            data_type: None,
        });
    }
}

/// `(x).n` as a function.
fn field_of(root: &Expr, chain: &[AccessExpr]) -> Option<Expr> {
    chain
        .iter()
        .try_fold(root.clone(), |root, access| match access {
            AccessExpr::Dot(Expr::Identifier(name)) => {
                let name = Expr::value(Value::SingleQuotedString(name.value.clone()));
                Some(call("get_field", vec![root, name]))
            }
            _ => None,
        })
}

/// `x = ANY($1)`, as the library has it already: the parameter is a list of texts, unless it is said to be another.
fn list_of_any(function: &mut Function) {
    let name = function.name.to_string().to_ascii_lowercase();
    if !["array_has", "array_contains"].contains(&name.as_str()) {
        return;
    }
    if let FunctionArguments::List(list) = &mut function.args
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut()
        && matches!(first, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
    {
        let parameter = std::mem::replace(first, Expr::value(Value::Null));
        *first = texts(parameter);
    }
}

/// `format('%I', x)::regclass`: the library looks up constants and parameters only. The schema is taken for the one that there is.
fn identifier_of(name: &Expr) -> Option<Expr> {
    let query = format!(
        "SELECT first_value(oid) FROM pg_catalog.pg_class WHERE relname = \
         replace(regexp_replace(CAST({name} AS TEXT), '^.*[.]', ''), '\"', '')"
    );
    match Parser::parse_sql(&PostgreSqlDialect {}, &query)
        .ok()?
        .pop()?
    {
        Statement::Query(query) => Some(Expr::Subquery(query)),
        _ => None,
    }
}

fn texts(expression: Expr) -> Expr {
    list_of(expression, DataType::Text)
}

fn list_of(expression: Expr, kind: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expression),
        data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(kind), None)),
        array: false,
        format: None,
    }
}

/// `timezone(zone, x)` as `x AT TIME ZONE zone`.
fn at_time_zone(function: &Function) -> Option<Expr> {
    let name = function.name.to_string();
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let [
        FunctionArg::Unnamed(FunctionArgExpr::Expr(zone)),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(time)),
    ] = list.args.as_slice()
    else {
        return None;
    };
    name.eq_ignore_ascii_case("timezone")
        .then(|| Expr::AtTimeZone {
            timestamp: Box::new(Expr::Nested(Box::new(time.clone()))),
            time_zone: Box::new(zone.clone()),
        })
}

/// Functions that make one value of many rows.
const AGGREGATES: [&str; 9] = [
    "array_agg(",
    "avg(",
    "bool_and(",
    "bool_or(",
    "count(",
    "first_value(",
    "max(",
    "min(",
    "string_agg(",
];

/// A value out of the catalog, by a key of the query around: there is one, which the planner must be told.
fn first_of_catalog(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return;
    };
    let is_catalog = select
        .from
        .first()
        .is_some_and(|from| match &from.relation {
            TableFactor::Table {
                name, args: None, ..
            } => {
                let name = name.to_string().to_ascii_lowercase();
                name.strip_prefix("pg_catalog.")
                    .unwrap_or(&name)
                    .starts_with("pg_")
            }
            _ => false,
        });
    let is_grouped =
        !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !is_catalog || is_grouped || select.selection.is_none() {
        return;
    }
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    else {
        return;
    };
    let text = item.to_string().to_ascii_lowercase();
    if AGGREGATES.iter().any(|name| text.contains(name)) {
        return;
    }
    *item = call("first_value", vec![item.clone()]);
    query.limit_clause = None;
    query.order_by = None;
}

/// Makes the pattern one with the usual escape.
fn escaped(pattern: &mut Expr, escape: char) {
    match pattern {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => *text = with_backslashes(text, escape),
        // The parts of a pattern that is put together, each by itself.
        Expr::BinaryOp { left, right, .. } => {
            escaped(left, escape);
            escaped(right, escape);
        }
        Expr::Nested(inner) => escaped(inner, escape),
        other => {
            let value = |text: String| Expr::value(Value::SingleQuotedString(text));
            let pattern = std::mem::replace(other, Expr::value(Value::Null));
            let values = [
                pattern,
                value(escape.to_string()),
                value(ESCAPE.to_string()),
            ];
            *other = call("replace", values.into());
        }
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter();
    let arguments = arguments.map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Is it about defaults, sequences or collations of columns, or about policies? The lake has none, and the planner does not
/// take such a query inside of another.
fn is_over_nothing(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let Some(from) = select.from.first() else {
        return false;
    };
    let TableFactor::Table {
        name, args: None, ..
    } = &from.relation
    else {
        return false;
    };
    let name = name.to_string().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    ["pg_attrdef", "pg_sequence", "pg_collation", "pg_policy"].contains(&name)
}

fn one_char(value: &Value) -> Option<char> {
    let Value::SingleQuotedString(text) = value else {
        return None;
    };
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// A pattern with an escape of its own, as one with the usual escape.
fn with_backslashes(pattern: &str, escape: char) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        if char == escape {
            text.push(ESCAPE);
            text.extend(chars.next());
        } else {
            if char == ESCAPE {
                text.push(ESCAPE);
            }
            text.push(char);
        }
    }
    text
}

/// Of tables, of event triggers: there are none.
const LISTS_OF_NOTHING: [&str; 2] = ["unnest(tc.reloptions)", "unnest(evttags)"];

/// `ARRAY(SELECT x …)` as `(SELECT array_agg(x) …)`. The order of the values is left to the engine.
fn array_of_query(function: &Function) -> Option<Expr> {
    if !function.name.to_string().eq_ignore_ascii_case("array") {
        return None;
    }
    let FunctionArguments::Subquery(query) = &function.args else {
        return None;
    };
    // psql asks for the options and policies of tables, of which there are none.
    if is_over_nothing(query) {
        return Some(texts(Expr::value(Value::Null)));
    }
    let text = query.to_string().to_lowercase();
    if LISTS_OF_NOTHING.iter().any(|list| text.contains(list)) {
        return Some(texts(Expr::value(Value::Null)));
    }
    let mut query = query.clone();
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    *item = call("array_agg", vec![item.clone()]);
    Some(Expr::Subquery(query))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sql: &str) -> String {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        rewritten(&mut parsed[0]);
        parsed[0].to_string()
    }

    #[test]
    fn expressions_mean_the_same() {
        for (sql, wanted) in [
            (
                r"SELECT a LIKE 'pg/_%' ESCAPE '/'",
                r"SELECT a LIKE 'pg\_%'",
            ),
            (
                r"SELECT a LIKE 'a\b/%' ESCAPE '/'",
                r"SELECT a LIKE 'a\\b\%'",
            ),
            ("SELECT a ILIKE 'x!!' ESCAPE '!'", r"SELECT a ILIKE 'x\!'"),
            (
                "SELECT ARRAY(SELECT b AS c FROM t WHERE t.x = u.x ORDER BY 1) FROM u",
                "SELECT (SELECT array_agg(b) AS c FROM t WHERE t.x = u.x) FROM u",
            ),
            (
                "SELECT a NOT LIKE 'p/_' || '%' ESCAPE '/', a LIKE b ESCAPE '!'",
                r"SELECT a NOT LIKE 'p\_' || '%', a LIKE replace(b, '!', '\')",
            ),
            (
                "SELECT (SELECT adbin FROM pg_catalog.pg_attrdef WHERE adnum = a.attnum) FROM a",
                "SELECT NULL FROM a",
            ),
            (
                "SELECT ARRAY(SELECT 'toast.' || x FROM unnest(tc.reloptions) x)",
                "SELECT CAST(NULL AS TEXT[])",
            ),
            (
                "SELECT x FROM c CROSS JOIN UNNEST(c.conkey) AS x, UNNEST(ARRAY[1]) AS y, UNNEST(z) AS z (a)",
                "SELECT x FROM c CROSS JOIN UNNEST(CAST(NULL AS SMALLINT[])) AS x (x), UNNEST(ARRAY[1]) AS y (y), UNNEST(z) AS z (a)",
            ),
            (
                "SELECT ARRAY(SELECT polname FROM pg_catalog.pg_policy WHERE polrelid = c.oid) FROM c",
                "SELECT CAST(NULL AS TEXT[]) FROM c",
            ),
            (
                "SELECT (SELECT typname FROM pg_type WHERE oid = a.t LIMIT 1), (SELECT max(oid) FROM pg_type WHERE oid = a.t)",
                "SELECT (SELECT first_value(typname) FROM pg_type WHERE oid = a.t), (SELECT max(oid) FROM pg_type WHERE oid = a.t)",
            ),
            (
                "SELECT to_timestamp(a, 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), to_date(a, 'DD. Mon YY'), to_date(a, '%Y'), to_date(a, 'J'), to_char(a, 'YYYY')",
                "SELECT to_timestamp(a, '%Y-%m-%dT%H:%M:%S.%6f'), to_date(a, '%d. %b %y'), to_date(a, '%Y'), to_date(a, 'J'), to_char(a, 'YYYY')",
            ),
            (
                "SELECT TIMEZONE('Asia/Tokyo', a + b)",
                "SELECT (a + b) AT TIME ZONE 'Asia/Tokyo'",
            ),
            ("SELECT (f(a)).n, b.c", "SELECT get_field((f(a)), 'n'), b.c"),
            (
                "SELECT '2030-01-01 +00', '2030-01-01 +0x'",
                "SELECT '2030-01-01', '2030-01-01 +0x'",
            ),
            (
                "SELECT array_has($1, a)",
                "SELECT array_has(CAST($1 AS TEXT[]), a)",
            ),
            ("SELECT ARRAY[1, 2]", "SELECT ARRAY[1, 2]"),
        ] {
            assert_eq!(after(sql), wanted);
        }
    }

    #[test]
    fn what_is_asked_of_the_catalog_means_the_same() {
        for (sql, wanted) in [
            (
                "SELECT 1 FROM pg_type AS t WHERE t.typreceive <> 0 OR typinput = 'array_in'::regproc OR typlen = 0",
                "SELECT 1 FROM pg_type AS t WHERE t.typreceive <> '-' OR typinput = 'array_in' OR typlen = 0",
            ),
            (
                "SELECT format('%I', a)::regclass, b.oid::regclass, $1::regclass",
                "SELECT (SELECT first_value(oid) FROM pg_catalog.pg_class WHERE relname = \
                 replace(regexp_replace(CAST(format('%I', a) AS TEXT), '^.*[.]', ''), '\"', '')), b.oid::REGCLASS, $1::REGCLASS",
            ),
            (
                "SELECT a FROM FUNNEL('x'), LATERAL Named_Query('y'), \"Quoted\"('z'), Offers",
                "SELECT a FROM funnel('x'), LATERAL named_query('y'), \"Quoted\"('z'), Offers",
            ),
            (
                "SELECT c.oid FROM a AS c JOIN d ON d.classoid = c.tableoid AND \"tableoid\" = TableOid",
                "SELECT c.oid FROM a AS c JOIN d ON d.classoid = 0 AND \"tableoid\" = 0",
            ),
            (
                "SELECT 1 FROM c, LATERAL (SELECT sum(f(p.relid)) AS s FROM pg_catalog.pg_partition_tree(c.oid) p) AS t",
                "SELECT 1 FROM c, (SELECT NULL AS s) AS t",
            ),
            (
                "SELECT array(select x from unnest(evttags) as t(x))",
                "SELECT CAST(NULL AS TEXT[])",
            ),
            (
                "SELECT 1 FROM pg_indexes JOIN offers ON true JOIN public.pg_user ON true",
                "SELECT 1 FROM pg_catalog.pg_indexes JOIN offers ON true JOIN public.pg_user ON true",
            ),
        ] {
            assert_eq!(after(sql), wanted);
        }
    }
}
