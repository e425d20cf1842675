//! Expressions of PostgreSQL that the planner does not know, as others that mean the same.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, ObjectName, Query, Select,
    SelectItem, SetExpr, Statement, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
    visit_expressions_mut,
};

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
            array_of_query(function)
        }
        Expr::BinaryOp { left, right, .. } => {
            by_name(left, right);
            None
        }
        Expr::CompoundFieldAccess { root, access_chain } => field_of(root, access_chain),
        _ => None,
    }
}

/// `typinput = 'array_in'::regproc`: here the column has the name of the function, not its identifier.
fn by_name(left: &Expr, right: &mut Expr) {
    let is_name = left.to_string().to_ascii_lowercase().ends_with("typinput");
    if is_name && right.to_string().contains("array_in") {
        *right = Expr::value(Value::SingleQuotedString("array_in".to_owned()));
    }
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

/// Columns of PostgreSQL may have the same name, as those without one do.
struct Selects;

impl VisitorMut for Selects {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut seen = BTreeSet::new();
        for (at, item) in select.projection.iter_mut().enumerate() {
            let SelectItem::UnnamedExpr(expression @ Expr::Value(_)) = item else {
                continue;
            };
            if !seen.insert(expression.to_string()) {
                let expr = std::mem::replace(expression, Expr::value(Value::Null));
                let alias = Ident::with_quote('"', format!("?column?{at}"));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
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

fn texts(expression: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expression),
        data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(
            Box::new(DataType::Text),
            None,
        )),
        array: false,
        format: None,
    }
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

/// Is it about defaults, sequences or collations of columns? Columns of the lake have none, and the planner does not take
/// such a query inside of another.
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
    ["pg_attrdef", "pg_sequence", "pg_collation"].contains(&name)
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

/// `ARRAY(SELECT x …)` as `(SELECT array_agg(x) …)`. The order of the values is left to the engine.
fn array_of_query(function: &Function) -> Option<Expr> {
    if !function.name.to_string().eq_ignore_ascii_case("array") {
        return None;
    }
    let FunctionArguments::Subquery(query) = &function.args else {
        return None;
    };
    // psql asks for the options of tables, of which there are none.
    if query
        .to_string()
        .to_lowercase()
        .contains("unnest(tc.reloptions)")
    {
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
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

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
                "SELECT (SELECT typname FROM pg_type WHERE oid = a.t LIMIT 1), (SELECT max(oid) FROM pg_type WHERE oid = a.t)",
                "SELECT (SELECT first_value(typname) FROM pg_type WHERE oid = a.t), (SELECT max(oid) FROM pg_type WHERE oid = a.t)",
            ),
            ("SELECT (f(a)).n, b.c", "SELECT get_field((f(a)), 'n'), b.c"),
            (
                "SELECT NULL, NULL, 'x'",
                "SELECT NULL, NULL AS \"?column?1\", 'x'",
            ),
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
            let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
            rewritten(&mut parsed[0]);
            assert_eq!(parsed[0].to_string(), wanted);
        }
    }
}
